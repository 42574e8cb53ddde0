// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/probes/raw_btf.h"

namespace sonde {

// A set of names that can be asked about a string_view.
struct NameHash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
};
using TypeNames = std::unordered_set<std::string, NameHash, std::equal_to<>>;

// The structs, unions and enums of these names, and whatever they hold by value, as raw BTF of its own. Pointers
// become pointers to void, typedefs and qualifiers go away.
//
// For each type that an object refers to, libbpf searches all types of the kernel (126,000 here) by name: a third of
// the time that sonde took to start. In the subset it finds the same fields at the same offsets among some hundred.
// Type ids differ from the kernel's: good for relocations of fields, sizes and enum values, not of type ids. And libbpf
// then looks into no module's types: good for what is in the kernel proper.
//
// Types that do not fit together, or nest too deep, are an error, and so is a subset without any type.
[[nodiscard]] Result<std::vector<char>> type_subset(const RawBtf& btf, const TypeNames& names);

// The names of the types in a BPF object (an ELF file in memory) that may be the kernel's: all of them, without
// the ___SUFFIX that tells variants of one kernel type apart.
[[nodiscard]] Status add_type_names(std::span<const char> object, TypeNames& names);

}  // namespace sonde
