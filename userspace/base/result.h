// SPDX-License-Identifier: Apache-2.0
//
// Result<T>: a value or an Error. Everything that can fail for a reason outside the program returns one;
// exceptions are left to programmer errors. Each layer that passes an error up adds its context once:
//
//   Result<UniqueFd> fd = open_file(path);
//   if (!fd) return fd.error().with("read block device names");
#pragma once

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

namespace sonde {

// What failed: an errno value (0 where there is none) and one line naming operation and object.
struct Error {
    int code = 0;
    std::string what;

    // The same error seen from one layer higher: "context: what".
    [[nodiscard]] Error with(const std::string& context) const { return Error{code, context + ": " + what}; }

    // From the errno of a failed system call: "operation: No such file or directory".
    [[nodiscard]] static Error from_errno(int code, const std::string& operation)
    {
        return Error{code, operation + ": " + std::strerror(code)};
    }
};

template <class T>
class [[nodiscard]] Result {
  public:
    Result(T value) : value_(std::move(value)) {}      // NOLINT(google-explicit-constructor): return value;
    Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor): return error;

    explicit operator bool() const { return value_.has_value(); }

    // REQUIRES: *this holds a value.
    T& operator*() { return *value_; }
    const T& operator*() const { return *value_; }
    T* operator->() { return &*value_; }
    const T* operator->() const { return &*value_; }

    // REQUIRES: *this holds an error.
    [[nodiscard]] const Error& error() const { return error_; }

  private:
    std::optional<T> value_;
    Error error_;
};

struct Done {};
// Success or an Error, where there is no value to return.
using Status = Result<Done>;
inline Status ok()
{
    return Status(Done{});
}

}  // namespace sonde
