// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/elf_file.h"

#include <elf.h>

#include <algorithm>
#include <bit>

namespace sonde {
namespace {

// Far more than linked programs have; files with a section per function, before linking, do not run.
constexpr uint64_t kMaxHeaders = 4096;
constexpr uint64_t kMaxSectionNames = uint64_t{1} << 20;
constexpr size_t kMaxSectionName = 64;

constexpr unsigned char kByteOrder = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;

}  // namespace

Result<ElfFile> ElfFile::open(const TargetFile& file)
{
    Elf64_Ehdr header{};
    const Result<std::vector<char>> start = file.read(0, std::min<uint64_t>(sizeof(header), file.identity().size));
    if (!start) {
        return start.error();
    }
    const Bytes bytes(*start);
    if (bytes.view().substr(0, SELFMAG) != ELFMAG) {
        return Error{EINVAL, "not an ELF file"};
    }
    const std::optional<Elf64_Ehdr> whole = bytes.at<Elf64_Ehdr>(0);
    if (!whole) {
        return Error{EINVAL, "an ELF file that ends within its header"};
    }
    header = *whole;
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != kByteOrder) {
        return Error{EINVAL, "an ELF file, but not a 64-bit one in the byte order of this machine"};
    }
    ElfFile elf(file);
    elf.machine_ = header.e_machine;
    elf.relocatable_ = header.e_type == ET_DYN;
    if (Status status = elf.read_segments(header.e_phoff, header.e_phnum); !status) {
        return status.error();
    }
    if (Status status = elf.read_sections(header.e_shoff, header.e_shnum, header.e_shstrndx); !status) {
        return status.error();
    }
    return elf;
}

Status ElfFile::read_segments(uint64_t offset, uint64_t count)
{
    if (count > kMaxHeaders) {
        return Error{EINVAL, "an ELF file with " + std::to_string(count) + " segments"};
    }
    const Result<std::vector<char>> table = file_->read(offset, count * sizeof(Elf64_Phdr));
    if (!table) {
        return table.error().with("read program headers");
    }
    for (uint64_t i = 0; i < count; ++i) {
        const Elf64_Phdr h = *Bytes(*table).at<Elf64_Phdr>(i * sizeof(Elf64_Phdr));
        // No more of it than the file has: what a segment promises beyond kills the program that touches it.
        const uint64_t whole = file_->identity().size;
        const uint64_t size = h.p_offset < whole ? std::min(h.p_filesz, whole - h.p_offset) : 0;
        segments_.push_back({h.p_type, h.p_flags, h.p_offset, h.p_vaddr, size, h.p_memsz});
    }
    return ok();
}

// Sections are not needed to run a program, so a table that cannot be read is none.
Status ElfFile::read_sections(uint64_t offset, uint64_t count, uint64_t names)
{
    if (offset == 0 || count == 0 || count > kMaxHeaders) {
        return ok();
    }
    const Result<std::vector<char>> table = file_->read(offset, count * sizeof(Elf64_Shdr));
    if (!table) {
        return ok();
    }
    const auto header = [&table](uint64_t i) { return *Bytes(*table).at<Elf64_Shdr>(i * sizeof(Elf64_Shdr)); };
    std::vector<char> strings;
    if (names < count && header(names).sh_size <= kMaxSectionNames) {
        Result<std::vector<char>> read = file_->read(header(names).sh_offset, header(names).sh_size);
        strings = read ? std::move(*read) : std::vector<char>();
    }
    for (uint64_t i = 0; i < count; ++i) {
        const Elf64_Shdr h = header(i);
        const std::string_view name = Bytes(strings).string_at(h.sh_name).value_or("");
        sections_.push_back(
            {std::string(name.substr(0, kMaxSectionName)), h.sh_type, h.sh_addr, h.sh_offset, h.sh_size, h.sh_link});
    }
    return ok();
}

const ElfSection* ElfFile::section(std::string_view name) const
{
    const auto found =
        std::find_if(sections_.begin(), sections_.end(), [name](const ElfSection& s) { return s.name == name; });
    return found == sections_.end() ? nullptr : &*found;
}

std::optional<uint64_t> ElfFile::file_offset(uint64_t address, uint64_t size, uint32_t flags) const
{
    for (const ElfSegment& s : segments_) {
        if (s.type == PT_LOAD && (s.flags & flags) == flags && address >= s.address &&
            address - s.address < s.file_size && size <= s.file_size - (address - s.address)) {
            return s.offset + (address - s.address);
        }
    }
    return std::nullopt;
}

bool ElfFile::is_code(uint64_t address) const
{
    return file_offset(address, 1, PF_X).has_value();
}

Result<std::vector<char>> ElfFile::contents(const ElfSection& section) const
{
    if (section.type == SHT_NOBITS) {
        return Error{EINVAL, "section " + section.name + " is not in the file"};
    }
    return file_->read(section.offset, section.size);
}

Result<std::vector<char>> ElfFile::contents(const ElfSegment& segment) const
{
    return file_->read(segment.offset, segment.file_size);
}

Result<std::vector<char>> ElfFile::read_at(uint64_t address, uint64_t size) const
{
    const std::optional<uint64_t> offset = file_offset(address, size);
    if (!offset) {
        return Error{EINVAL, "no part of the file is loaded there"};
    }
    return file_->read(*offset, size);
}

}  // namespace sonde
