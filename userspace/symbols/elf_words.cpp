// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/elf_words.h"

#include <elf.h>

#include <algorithm>

namespace sonde {
namespace {

constexpr size_t kMaxFound = 16;

uint32_t relative_type(uint16_t machine)
{
    return machine == EM_AARCH64 ? R_AARCH64_RELATIVE : R_X86_64_RELATIVE;
}

struct RelocationTable {
    uint64_t address = 0;
    uint64_t size = 0;
};

// What the loader goes by, so that it is there without sections too.
std::optional<RelocationTable> find_relocations(const ElfFile& elf)
{
    const auto& segments = elf.segments();
    const auto dynamic =
        std::find_if(segments.begin(), segments.end(), [](const ElfSegment& s) { return s.type == PT_DYNAMIC; });
    const Result<std::vector<char>> entries = dynamic != segments.end() ? elf.contents(*dynamic) : Error{};
    if (!entries) {
        return std::nullopt;
    }
    RelocationTable place;
    const Bytes bytes(*entries);
    for (uint64_t at = 0; const std::optional<Elf64_Dyn> entry = bytes.at<Elf64_Dyn>(at); at += sizeof(Elf64_Dyn)) {
        if (entry->d_tag == DT_NULL) {
            break;
        }
        if (entry->d_tag == DT_RELA) {
            place.address = entry->d_un.d_ptr;
        } else if (entry->d_tag == DT_RELASZ) {
            place.size = entry->d_un.d_val;
        }
    }
    return place.size != 0 ? std::optional<RelocationTable>(place) : std::nullopt;
}

}  // namespace

ElfWords::ElfWords(const ElfFile& elf) : elf_(&elf)
{
    const std::optional<RelocationTable> place = elf.is_relocatable() ? find_relocations(elf) : std::nullopt;
    const Result<std::vector<char>> table = place ? elf.read_at(place->address, place->size) : Error{};
    if (!table) {
        return;
    }
    const Bytes bytes(*table);
    for (uint64_t at = 0; const std::optional<Elf64_Rela> r = bytes.at<Elf64_Rela>(at); at += sizeof(Elf64_Rela)) {
        if (ELF64_R_TYPE(r->r_info) == relative_type(elf.machine())) {
            relocated_.emplace_back(r->r_offset, static_cast<uint64_t>(r->r_addend));
        }
    }
    std::sort(relocated_.begin(), relocated_.end());
}

std::optional<uint64_t> ElfWords::at(uint64_t address) const
{
    const auto found =
        std::lower_bound(relocated_.begin(), relocated_.end(), std::pair<uint64_t, uint64_t>(address, 0));
    if (found != relocated_.end() && found->first == address) {
        return found->second;
    }
    const Result<std::vector<char>> word = elf_->read_at(address, sizeof(uint64_t));
    return word ? Bytes(*word).at<uint64_t>(0) : std::nullopt;
}

void ElfWords::relocate(uint64_t address, std::vector<char>& bytes) const
{
    auto r = std::lower_bound(relocated_.begin(), relocated_.end(), std::pair<uint64_t, uint64_t>(address, 0));
    for (; r != relocated_.end() && r->first - address < bytes.size(); ++r) {
        const uint64_t at = r->first - address;
        if (bytes.size() - at >= sizeof(r->second)) {
            std::memcpy(bytes.data() + at, &r->second, sizeof(r->second));
        }
    }
}

std::vector<uint64_t> ElfWords::addresses_of(uint64_t value) const
{
    std::vector<uint64_t> found;
    for (const auto& [address, is] : relocated_) {
        if (is == value && found.size() < kMaxFound) {
            found.push_back(address);
        }
    }
    for (const ElfSegment& segment : elf_->segments()) {
        // Read-only data too: RELRO lies there in some layouts.
        if (segment.type != PT_LOAD || (segment.flags & PF_X) != 0) {
            continue;
        }
        const Result<std::vector<char>> data = elf_->contents(segment);
        if (!data) {
            continue;
        }
        const Bytes bytes(*data);
        const uint64_t first = (sizeof(uint64_t) - segment.address % sizeof(uint64_t)) % sizeof(uint64_t);
        for (uint64_t at = first; const std::optional<uint64_t> word = bytes.at<uint64_t>(at); at += sizeof(uint64_t)) {
            if (*word == value && found.size() < kMaxFound) {
                found.push_back(segment.address + at);
            }
        }
    }
    return found;
}

}  // namespace sonde
