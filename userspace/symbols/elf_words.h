// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "userspace/symbols/elf_file.h"

namespace sonde {

// Words of eight bytes as they are once the program is loaded at the addresses of its headers. In a program that may be
// loaded anywhere (PIE) those that hold addresses may be zero in the file, and their values stand with the relocations
// (DT_RELA); with the packed form, DT_RELR, and with Go's own linker, they stand in place.
// Refers to the file, which must outlive it.
class ElfWords {
  public:
    explicit ElfWords(const ElfFile& elf);

    [[nodiscard]] std::optional<uint64_t> at(uint64_t address) const;
    // Puts the relocated words into bytes that were read from this address.
    void relocate(uint64_t address, std::vector<char>& bytes) const;
    // Where words with this value stand among the data, 16 at most. Costs a read of all data.
    [[nodiscard]] std::vector<uint64_t> addresses_of(uint64_t value) const;

  private:
    const ElfFile* elf_;
    std::vector<std::pair<uint64_t, uint64_t>> relocated_;  // address, value; sorted
};

}  // namespace sonde
