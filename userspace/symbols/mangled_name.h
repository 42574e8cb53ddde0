// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sonde {

// As a person reads it: C++ and Rust names, legacy and v0, without Rust's hash; any other name as it is.
[[nodiscard]] std::string display_name(std::string_view name);

// The name of a function and what is made of it, once, when it is first asked for. Refers to the name.
class FunctionName {
  public:
    explicit FunctionName(std::string_view name) : name_(name) {}

    [[nodiscard]] std::string_view raw() const { return name_; }
    [[nodiscard]] bool is_mangled() const { return name_.starts_with("_Z") || name_.starts_with("_R"); }
    [[nodiscard]] const std::string& display() const;
    // The identifiers of the path to a mangled function, in their order, without those of parameters and of generic
    // arguments, but with the type and trait of "<T as Trait>::f". Empty for what is no function that a person wrote:
    // bodies of closures and of async functions, thunks, parts split off by the compiler (.cold).
    [[nodiscard]] const std::vector<std::string>& path() const;

  private:
    std::string_view name_;
    mutable std::optional<std::string> display_;
    mutable std::optional<std::vector<std::string>> path_;
};

// A pattern for names of functions, in the form of what people know:
//   github.com/ethereum/go-ethereum/core.(*BlockChain).insertChain    a Go name; `*` is any run of characters
//   mdbx_txn_commit*                                                  a C name
//   EngineApiTreeHandler::on_new_payload                              identifiers of a Rust or C++ path, in this order,
//                                                                     the last being the function's own
//   *<*>::on_new_payload                                              a Rust or C++ name as display_name gives it
// Identifiers fit all instances of a generic function, of any crate hash and mangling.
class NamePattern {
  public:
    explicit NamePattern(std::string_view text);

    [[nodiscard]] bool matches(const FunctionName& name) const;
    [[nodiscard]] const std::string& text() const { return text_; }

  private:
    std::string text_;
    std::vector<std::string> identifiers_;  // empty unless the pattern is made of them
};

}  // namespace sonde
