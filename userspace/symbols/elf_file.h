// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/symbols/bytes.h"
#include "userspace/symbols/target_file.h"

namespace sonde {

struct ElfSection {
    std::string name;
    uint32_t type = 0;  // SHT_...
    uint64_t address = 0;
    uint64_t offset = 0;  // in the file
    uint64_t size = 0;
    uint32_t link = 0;  // of a symbol table: the section with its names
};

struct ElfSegment {
    uint32_t type = 0;   // PT_...
    uint32_t flags = 0;  // PF_...
    uint64_t offset = 0;
    uint64_t address = 0;
    uint64_t file_size = 0;
    uint64_t memory_size = 0;
};

// The headers of a 64-bit ELF file in this machine's byte order, as in the System V ABI, gABI 4.1. Nothing in the file
// is believed: tables are bounded, offsets checked at each read, entry sizes are those of the standard whatever the
// file says. A file without sections (sstrip) is as good as any: segments tell what runs.
// Refers to the file, which must outlive it.
class ElfFile {
  public:
    static Result<ElfFile> open(const TargetFile& file);

    [[nodiscard]] uint16_t machine() const { return machine_; }  // EM_...
    // Loaded where the kernel pleases: words that hold addresses are made by relocations.
    [[nodiscard]] bool is_relocatable() const { return relocatable_; }
    [[nodiscard]] const std::vector<ElfSection>& sections() const { return sections_; }
    [[nodiscard]] const std::vector<ElfSegment>& segments() const { return segments_; }
    // The first of this name, or null.
    [[nodiscard]] const ElfSection* section(std::string_view name) const;

    // Where in the file these bytes of the loaded image come from, if all are in one segment with these PF_ flags.
    [[nodiscard]] std::optional<uint64_t> file_offset(uint64_t address, uint64_t size = 1, uint32_t flags = 0) const;
    [[nodiscard]] bool is_code(uint64_t address) const;

    [[nodiscard]] Result<std::vector<char>> contents(const ElfSection& section) const;
    [[nodiscard]] Result<std::vector<char>> contents(const ElfSegment& segment) const;
    [[nodiscard]] Result<std::vector<char>> read_at(uint64_t address, uint64_t size) const;

  private:
    explicit ElfFile(const TargetFile& file) : file_(&file) {}
    Status read_segments(uint64_t offset, uint64_t count);
    Status read_sections(uint64_t offset, uint64_t count, uint64_t names);

    const TargetFile* file_;
    uint16_t machine_ = 0;
    bool relocatable_ = false;
    std::vector<ElfSection> sections_;
    std::vector<ElfSegment> segments_;
};

}  // namespace sonde
