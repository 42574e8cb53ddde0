// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/elf_notes.h"

#include <elf.h>

#include <functional>

namespace sonde {
namespace {

constexpr uint32_t kStapsdtNote = 3;

constexpr uint64_t align_up(uint64_t n)
{
    return (n + 3) & ~uint64_t{3};
}

struct Note {
    uint32_t type = 0;
    std::string_view owner;  // with its NUL
    Bytes content;
};

void for_each_note(Bytes bytes, const std::function<void(const Note&)>& visit)
{
    for (uint64_t at = 0; const std::optional<Elf64_Nhdr> h = bytes.at<Elf64_Nhdr>(at);) {
        const uint64_t owner = at + sizeof(Elf64_Nhdr);
        const uint64_t content = owner + align_up(h->n_namesz);
        visit({h->n_type, bytes.part(owner, h->n_namesz).view(), bytes.part(content, h->n_descsz)});
        at = content + align_up(h->n_descsz);
    }
}

std::string to_hex(std::string_view bytes)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string hex;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        hex += kDigits[byte >> 4];
        hex += kDigits[byte & 15];
    }
    return hex;
}

// What the linker moved after the note was made, it moved .stapsdt.base with it.
std::optional<UsdtProbe> parse_usdt(const ElfFile& elf, Bytes content, uint64_t base)
{
    struct Addresses {
        uint64_t instruction;
        uint64_t base;
        uint64_t semaphore;
    };
    const std::optional<Addresses> addresses = content.at<Addresses>(0);
    const std::optional<std::string_view> provider = content.string_at(sizeof(Addresses));
    if (!addresses || !provider) {
        return std::nullopt;
    }
    const uint64_t name_at = sizeof(Addresses) + provider->size() + 1;
    const std::optional<std::string_view> name = content.string_at(name_at);
    if (!name) {
        return std::nullopt;
    }
    const std::string_view arguments = content.string_at(name_at + name->size() + 1).value_or("");
    // Some write a base of 0: then nothing was moved.
    const uint64_t moved = base == 0 || addresses->base == 0 ? 0 : base - addresses->base;
    const std::optional<uint64_t> offset = elf.file_offset(addresses->instruction + moved, 1, PF_X);
    if (!offset) {
        return std::nullopt;
    }
    uint64_t semaphore = 0;
    if (addresses->semaphore != 0) {
        const std::optional<uint64_t> found = elf.file_offset(addresses->semaphore + moved, sizeof(uint16_t), PF_W);
        if (!found) {
            return std::nullopt;  // it would never fire
        }
        semaphore = *found;
    }
    constexpr char kOneByteNop = '\x90';
    const Result<std::vector<char>> code = elf.read_at(addresses->instruction + moved, 1);
    const bool one_byte = code && code->front() == kOneByteNop;
    return UsdtProbe{std::string(*provider),
                     std::string(*name),
                     std::string(arguments),
                     *offset,
                     semaphore,
                     elf.machine() == EM_X86_64 && !one_byte};
}

}  // namespace

std::string build_id(const ElfFile& elf)
{
    std::string id;
    const auto look = [&id](const Note& note) {
        if (id.empty() && note.type == NT_GNU_BUILD_ID && note.owner == std::string_view("GNU\0", 4) &&
            note.content.size() <= kMaxBuildIdBytes) {
            id = to_hex(note.content.view());
        }
    };
    constexpr uint64_t kMaxNotes = uint64_t{1} << 20;
    for (const ElfSegment& segment : elf.segments()) {
        if (segment.type == PT_NOTE && segment.file_size <= kMaxNotes) {
            const Result<std::vector<char>> notes = elf.contents(segment);
            if (notes) {
                for_each_note(Bytes(*notes), look);
            }
        }
    }
    return id;
}

std::vector<UsdtProbe> usdt_probes(const ElfFile& elf)
{
    std::vector<UsdtProbe> probes;
    const ElfSection* section = elf.section(".note.stapsdt");
    const ElfSection* base = elf.section(".stapsdt.base");
    const Result<std::vector<char>> notes = section != nullptr ? elf.contents(*section) : Error{};
    if (!notes) {
        return probes;
    }
    for_each_note(Bytes(*notes), [&](const Note& note) {
        if (note.type != kStapsdtNote || note.owner != std::string_view("stapsdt\0", 8) ||
            probes.size() >= kMaxUsdtProbes) {
            return;
        }
        if (std::optional<UsdtProbe> probe = parse_usdt(elf, note.content, base != nullptr ? base->address : 0)) {
            probes.push_back(std::move(*probe));
        }
    });
    return probes;
}

}  // namespace sonde
