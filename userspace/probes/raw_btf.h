// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/btf.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "userspace/base/result.h"

namespace sonde {

// The types of a kernel, where they lie. libbpf's own view copies the 5 MB and takes 8 ms and 11 MB, which is more
// than all that sonde asks; this finds where each begins, in 1 ms. Format: Documentation/bpf/btf.rst of the kernel.
// The bytes may come from anybody: what does not fit together is an error, never an access outside of them.
// Refers to the bytes, which must outlive it. No thread rule.
class RawBtf {
  public:
    // BTF in the byte order of this machine.
    static Result<RawBtf> open(std::span<const char> btf);

    [[nodiscard]] static Error malformed() { return Error{EINVAL, "malformed BTF"}; }

    // Ids are 1 to count(); 0 is `void` and has no record.
    [[nodiscard]] uint32_t count() const { return static_cast<uint32_t>(offsets_.size()); }
    [[nodiscard]] bool contains(uint32_t id) const { return id >= 1 && id <= count(); }

    // REQUIRES, here and below: contains(id).
    [[nodiscard]] btf_type type(uint32_t id) const { return load<btf_type>(offsets_[id - 1]); }

    // One of the records behind a type: btf_member of a struct, btf_enum of an enum, ... REQUIRES: T is what this kind
    // has there, and i is below its number.
    template <class T>
    [[nodiscard]] T record(uint32_t id, uint32_t i = 0) const
    {
        return load<T>(offsets_[id - 1] + sizeof(btf_type) + i * sizeof(T));
    }

    // Empty for none. Those of types are always in range; those of records are empty if they are not.
    [[nodiscard]] std::string_view name(uint32_t offset) const
    {
        return offset < strings_.size() ? std::string_view(strings_.data() + offset) : std::string_view();
    }

  private:
    RawBtf(std::span<const char> types, std::span<const char> strings) : types_(types), strings_(strings) {}

    template <class T>
    [[nodiscard]] T load(size_t at) const
    {
        T value{};
        std::memcpy(&value, types_.data() + at, sizeof(value));
        return value;
    }

    std::span<const char> types_;
    std::span<const char> strings_;
    std::vector<uint32_t> offsets_;  // of each type
};

}  // namespace sonde
