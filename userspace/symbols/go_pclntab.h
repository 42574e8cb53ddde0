// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/symbols/elf_file.h"
#include "userspace/symbols/elf_words.h"
#include "userspace/symbols/function.h"

namespace sonde {

/*
 * Go's table of functions, which the runtime needs for stack traces, so that it is there in stripped programs too.
 *
 * Problem: since Go 1.18 it holds offsets from the beginning of Go's code, which it named until 1.25 and since 1.26
 * does not. That is not the beginning of the section .text where C was linked in. In a PIE the words that hold
 * addresses are made at load time. External linkers rename the section or drop all sections.
 *
 * Idea: the table is found by its section or else by its first bytes; the beginning of the code by the runtime's
 * moduledata, which points to the table and also holds the first and last address of the functions: only where these
 * agree with the table is it believed. Failing that, by the table's own word, if the first and the last function then
 * lie in code.
 *
 * Formats: Go 1.16, 1.18 and 1.20 (runtime/symtab.go, pcHeader); moduledata as in 1.17 to 1.26.
 * Limits: programs with several text sections (over 128 MB of code on arm64) are read by their first.
 */
class GoPclntab {
  public:
    // None in this file: an empty optional. One that does not fit together: an error.
    // Refers to `elf`, which must outlive it.
    static Result<std::optional<GoPclntab>> find(const ElfFile& elf, const ElfWords& words);

    // In the order of their addresses. The size of each is up to the next. Entries that fit nowhere are passed over.
    void for_each(const FunctionVisitor& visit) const;

    [[nodiscard]] uint64_t count() const { return count_; }
    // The oldest Go version with this format: "1.16", "1.18" or "1.20".
    [[nodiscard]] const char* format() const;

  private:
    enum class Format : uint8_t { k1_16, k1_18, k1_20 };

    GoPclntab(std::vector<char> bytes, uint64_t address) : bytes_(std::move(bytes)), address_(address) {}
    Status parse_header();
    Status find_text(const ElfFile& elf, const ElfWords& words);
    [[nodiscard]] bool fits(const ElfFile& elf, uint64_t text) const;
    // The beginning of function i, from the beginning of the code; of function count(): the end of the last.
    [[nodiscard]] std::optional<uint64_t> entry(uint64_t i) const;
    [[nodiscard]] std::optional<std::string_view> name(uint64_t i) const;
    [[nodiscard]] bool is_relative() const { return format_ != Format::k1_16; }

    std::vector<char> bytes_;
    uint64_t address_;
    Format format_ = Format::k1_20;
    uint64_t count_ = 0;
    uint64_t names_ = 0;      // offset of the names
    uint64_t functions_ = 0;  // offset of the table
    uint64_t text_ = 0;       // added to each entry; 0 in 1.16, which has addresses
};

}  // namespace sonde
