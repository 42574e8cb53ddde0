// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/go_pclntab.h"

#include <elf.h>

namespace sonde {
namespace {

constexpr uint32_t kMagic1_16 = 0xfffffffa;
constexpr uint32_t kMagic1_18 = 0xfffffff0;
constexpr uint32_t kMagic1_20 = 0xfffffff1;
constexpr uint32_t kMagic1_2 = 0xfffffffb;
constexpr uint64_t kMaxFunctions = 4'000'000;
constexpr uint64_t kTableAlignment = 8;

// Behind the magic: two zero bytes, the smallest instruction, the size of a pointer. Then words.
struct TableStart {
    uint32_t magic;
    uint8_t zero[2];
    uint8_t quantum;
    uint8_t pointer_size;
};
constexpr uint64_t kCountAt = 8;
constexpr uint64_t kTextAt = 24;  // since 1.18; what follows is then one word later
constexpr uint64_t kNamesAt = 24;
constexpr uint64_t kFunctionsAt = 56;

// runtime.moduledata
constexpr uint64_t kModuleMinPc = 160;
constexpr uint64_t kModuleMaxPc = 168;
constexpr uint64_t kModuleText = 176;

bool is_start(Bytes bytes, uint64_t at)
{
    const std::optional<TableStart> s = bytes.at<TableStart>(at);
    return s && (s->magic == kMagic1_16 || s->magic == kMagic1_18 || s->magic == kMagic1_20) && s->zero[0] == 0 &&
           s->zero[1] == 0 && (s->quantum == 1 || s->quantum == 4) && s->pointer_size == sizeof(uint64_t);
}

struct TablePlace {
    uint64_t address = 0;
    std::vector<char> bytes;
};

Result<std::optional<TablePlace>> find_in_sections(const ElfFile& elf)
{
    for (const std::string_view name : {".gopclntab", ".data.rel.ro.gopclntab"}) {
        const ElfSection* section = elf.section(name);
        if (section == nullptr || section->type == SHT_NOBITS) {
            continue;
        }
        Result<std::vector<char>> bytes = elf.contents(*section);
        if (!bytes) {
            return bytes.error().with(section->name);
        }
        return std::optional<TablePlace>({section->address, std::move(*bytes)});
    }
    return std::optional<TablePlace>();
}

// Without sections. The end is not known: that of the segment serves.
std::optional<TablePlace> find_in_segments(const ElfFile& elf)
{
    for (const ElfSegment& segment : elf.segments()) {
        if (segment.type != PT_LOAD) {
            continue;
        }
        Result<std::vector<char>> bytes = elf.contents(segment);
        if (!bytes) {
            continue;
        }
        for (uint64_t at = 0; at + sizeof(TableStart) <= bytes->size(); at += kTableAlignment) {
            if (is_start(Bytes(*bytes), at)) {
                bytes->erase(bytes->begin(), bytes->begin() + static_cast<ptrdiff_t>(at));
                return TablePlace{segment.address + at, std::move(*bytes)};
            }
        }
    }
    return std::nullopt;
}

}  // namespace

Result<std::optional<GoPclntab>> GoPclntab::find(const ElfFile& elf, const ElfWords& words)
{
    Result<std::optional<TablePlace>> place = find_in_sections(elf);
    if (!place) {
        return place.error();
    }
    if (!*place) {
        // A program of another language has no such bytes, or not where functions would fit.
        std::optional<TablePlace> found = find_in_segments(elf);
        if (!found) {
            return std::optional<GoPclntab>();
        }
        words.relocate(found->address, found->bytes);
        GoPclntab table(std::move(found->bytes), found->address);
        const bool fits = table.parse_header() && table.find_text(elf, words);
        return fits ? std::optional<GoPclntab>(std::move(table)) : std::nullopt;
    }
    words.relocate((*place)->address, (*place)->bytes);
    GoPclntab table(std::move((*place)->bytes), (*place)->address);
    if (Status status = table.parse_header(); !status) {
        return status.error();
    }
    if (Status status = table.find_text(elf, words); !status) {
        return status.error();
    }
    return std::optional<GoPclntab>(std::move(table));
}

Status GoPclntab::parse_header()
{
    const Bytes bytes(bytes_);
    if (!is_start(bytes, 0)) {
        return Error{EINVAL, bytes.at<uint32_t>(0) == kMagic1_2
                                 ? "Go's function table has the format of Go 1.15 or older"
                                 : "Go's function table has a format that is not known (Go 1.16 to 1.26 are)"};
    }
    const uint32_t magic = *bytes.at<uint32_t>(0);
    format_ = magic == kMagic1_16 ? Format::k1_16 : magic == kMagic1_18 ? Format::k1_18 : Format::k1_20;
    const uint64_t shift = is_relative() ? sizeof(uint64_t) : 0;
    const auto count = bytes.at<uint64_t>(kCountAt);
    const auto names = bytes.at<uint64_t>(kNamesAt + shift);
    const auto functions = bytes.at<uint64_t>(kFunctionsAt + shift);
    if (!count || !names || !functions || *count == 0 || *count > kMaxFunctions || *names >= bytes.size() ||
        *functions >= bytes.size()) {
        return Error{EINVAL, "Go's function table does not fit together"};
    }
    count_ = *count;
    names_ = *names;
    functions_ = *functions;
    const auto first = entry(0), last = entry(count_);
    if (!first || !last || *first >= *last) {
        return Error{EINVAL, "Go's function table does not fit together"};
    }
    return ok();
}

std::optional<uint64_t> GoPclntab::entry(uint64_t i) const
{
    const Bytes table = Bytes(bytes_).part(functions_);
    if (is_relative()) {
        const auto offset = table.at<uint32_t>(i * 2 * sizeof(uint32_t));
        return offset ? std::optional<uint64_t>(*offset) : std::nullopt;
    }
    return table.at<uint64_t>(i * 2 * sizeof(uint64_t));
}

// The second half of an entry leads to a record: the entry again, then the offset of the name.
std::optional<std::string_view> GoPclntab::name(uint64_t i) const
{
    const Bytes table = Bytes(bytes_).part(functions_);
    std::optional<uint64_t> record;
    if (is_relative()) {
        const auto offset = table.at<uint32_t>((i * 2 + 1) * sizeof(uint32_t));
        record = offset ? std::optional<uint64_t>(*offset) : std::nullopt;
    } else {
        record = table.at<uint64_t>((i * 2 + 1) * sizeof(uint64_t));
    }
    if (!record || *record >= table.size()) {
        return std::nullopt;
    }
    const auto offset = table.at<uint32_t>(*record + (is_relative() ? sizeof(uint32_t) : sizeof(uint64_t)));
    return offset ? Bytes(bytes_).part(names_).string_at(*offset) : std::nullopt;
}

bool GoPclntab::fits(const ElfFile& elf, uint64_t text) const
{
    return elf.is_code(text + *entry(0)) && elf.is_code(text + *entry(count_) - 1);
}

Status GoPclntab::find_text(const ElfFile& elf, const ElfWords& words)
{
    if (!is_relative()) {
        return fits(elf, 0) ? ok() : Error{EINVAL, "Go's function table does not point into the program's code"};
    }
    for (const uint64_t module : words.addresses_of(address_)) {
        const auto text = words.at(module + kModuleText);
        if (text && words.at(module + kModuleMinPc) == *text + *entry(0) &&
            words.at(module + kModuleMaxPc) == *text + *entry(count_) && fits(elf, *text)) {
            text_ = *text;
            return ok();
        }
    }
    // Not the section .text: where C was linked in, that begins with C.
    const auto text = Bytes(bytes_).at<uint64_t>(kTextAt);
    if (text && *text != 0 && fits(elf, *text)) {
        text_ = *text;
        return ok();
    }
    return Error{EINVAL, "where Go's code begins cannot be told"};
}

void GoPclntab::for_each(const FunctionVisitor& visit) const
{
    for (uint64_t i = 0; i < count_; ++i) {
        const auto begin = entry(i), end = entry(i + 1);
        const auto is = name(i);
        if (!begin || !end || *end <= *begin || !is || is->empty()) {
            continue;
        }
        if (!visit({*is, text_ + *begin, *end - *begin, SymbolSource::kPclntab})) {
            return;
        }
    }
}

const char* GoPclntab::format() const
{
    return format_ == Format::k1_16 ? "1.16" : format_ == Format::k1_18 ? "1.18" : "1.20";
}

}  // namespace sonde
