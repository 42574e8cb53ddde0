// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/go_build_info.h"

#include <elf.h>

#include <algorithm>
#include <utility>

namespace sonde {
namespace {

constexpr std::string_view kInfoMagic("\xff Go buildinf:");
constexpr uint64_t kInfoAlignment = 16;
constexpr uint64_t kFlagsAt = 15;
constexpr uint64_t kPointersAt = 16;
constexpr uint64_t kStringsAt = 32;
constexpr uint8_t kBigEndian = 1;
constexpr uint8_t kInPlace = 2;
constexpr uint64_t kMaxText = uint64_t{1} << 20;
constexpr uint64_t kFrame = 16;  // bytes before and behind the list of modules

struct InfoPlace {
    uint64_t address;
    std::vector<char> bytes;
};

std::optional<InfoPlace> find_place(const ElfFile& elf)
{
    if (const ElfSection* section = elf.section(".go.buildinfo")) {
        if (Result<std::vector<char>> bytes = elf.contents(*section)) {
            return InfoPlace{section->address, std::move(*bytes)};
        }
    }
    for (const ElfSegment& segment : elf.segments()) {
        if (segment.type != PT_LOAD || (segment.flags & PF_W) == 0) {
            continue;
        }
        Result<std::vector<char>> bytes = elf.contents(segment);
        if (!bytes) {
            continue;
        }
        const uint64_t first = (kInfoAlignment - segment.address % kInfoAlignment) % kInfoAlignment;
        for (uint64_t at = first; at + kStringsAt <= bytes->size(); at += kInfoAlignment) {
            if (Bytes(*bytes).part(at, kInfoMagic.size()).view() == kInfoMagic) {
                bytes->erase(bytes->begin(), bytes->begin() + static_cast<ptrdiff_t>(at));
                return InfoPlace{segment.address + at, std::move(*bytes)};
            }
        }
    }
    return std::nullopt;
}

// A length in seven-bit groups, the lowest first, then as many bytes. Advances `at`.
std::optional<std::string> counted_string(Bytes bytes, uint64_t& at)
{
    uint64_t length = 0;
    for (unsigned shift = 0;; shift += 7) {
        const std::optional<uint8_t> group = bytes.at<uint8_t>(at++);
        if (!group || shift > 28) {
            return std::nullopt;
        }
        length |= uint64_t{*group & 0x7fU} << shift;
        if ((*group & 0x80) == 0) {
            break;
        }
    }
    const Bytes text = bytes.part(at, length);
    if (length > kMaxText || text.size() != length) {
        return std::nullopt;
    }
    at += length;
    return std::string(text.view());
}

// A Go string: its address and its length.
std::optional<std::string> pointed_string(const ElfFile& elf, const ElfWords& words, std::optional<uint64_t> header)
{
    const auto address = header ? words.at(*header) : std::nullopt;
    const auto length = header ? words.at(*header + sizeof(uint64_t)) : std::nullopt;
    if (!address || !length || *length > kMaxText) {
        return std::nullopt;
    }
    const Result<std::vector<char>> text = elf.read_at(*address, *length);
    return text ? std::optional<std::string>(std::string(text->begin(), text->end())) : std::nullopt;
}

// Cuts `text` at the first `separator`; the part before it is returned, the rest left.
std::string_view take(std::string_view& text, char separator)
{
    const size_t end = text.find(separator);
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return part;
}

// A word of the list: as it is, or quoted with escapes where it has blanks.
std::string unquoted(std::string_view text)
{
    if (text.size() < 2 || text.front() != text.back() || (text.front() != '"' && text.front() != '`')) {
        return std::string(text);
    }
    const bool escapes = text.front() == '"';
    std::string plain;
    for (size_t i = 1; i + 1 < text.size(); ++i) {
        i += escapes && text[i] == '\\' && i + 2 < text.size() ? 1 : 0;
        plain += text[i];
    }
    return plain;
}

// Up to the first "=" that is not within a quoted key.
std::pair<std::string, std::string> setting_of(std::string_view line)
{
    size_t key_end = 0;
    if (!line.empty() && line.front() == '"') {
        key_end = 1;
        while (key_end < line.size() && line[key_end] != '"') {
            key_end += line[key_end] == '\\' ? 2 : 1;
        }
    }
    const size_t equals = line.find('=', std::min(key_end, line.size()));
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : line.substr(equals + 1);
    return {unquoted(line.substr(0, equals)), unquoted(value)};
}

// "path\tgithub.com/...", "mod\tPATH\tVERSION\tSUM", "dep\t...", "=>\t..." (instead of the one before),
// "build\tKEY=VALUE".
void parse_modules(std::string_view text, GoBuildInfo& info)
{
    GoModule* last = nullptr;
    while (!text.empty()) {
        std::string_view line = take(text, '\n');
        const std::string_view kind = take(line, '\t');
        if (kind == "path") {
            info.path = line;
        } else if (kind == "build") {
            if (info.settings.size() < GoBuildInfo::kMaxSettings) {
                info.settings.insert(setting_of(line));
            }
        } else if (kind == "mod" || kind == "dep" || (kind == "=>" && last != nullptr)) {
            const std::string_view path = take(line, '\t');
            const GoModule module{std::string(path), std::string(take(line, '\t'))};
            if (kind == "=>") {
                *last = module;
            } else if (kind == "mod") {
                info.main = module;
                last = &info.main;
            } else if (info.dependencies.size() < GoBuildInfo::kMaxDependencies) {
                info.dependencies.push_back(module);
                last = &info.dependencies.back();
            }
        }
    }
}

}  // namespace

Result<std::optional<GoBuildInfo>> GoBuildInfo::find(const ElfFile& elf, const ElfWords& words)
{
    const std::optional<InfoPlace> place = find_place(elf);
    if (!place) {
        return std::optional<GoBuildInfo>();
    }
    const Bytes bytes(place->bytes);
    const std::optional<uint8_t> flags = bytes.at<uint8_t>(kFlagsAt);
    const Error malformed{EINVAL, "Go's build information does not fit together"};
    if (bytes.part(0, kInfoMagic.size()).view() != kInfoMagic || !flags) {
        return malformed;
    }
    std::optional<std::string> version, modules;
    if ((*flags & kInPlace) != 0) {
        uint64_t at = kStringsAt;
        version = counted_string(bytes, at);
        modules = version ? counted_string(bytes, at) : std::nullopt;
    } else if ((*flags & kBigEndian) == 0) {
        const uint64_t pointers = place->address + kPointersAt;
        version = pointed_string(elf, words, words.at(pointers));
        modules = pointed_string(elf, words, words.at(pointers + sizeof(uint64_t)));
    }
    if (!version) {
        return malformed;
    }
    GoBuildInfo info;
    info.go_version = *version;
    // Programs built without modules have no list.
    if (modules && modules->size() > 2 * kFrame && (*modules)[modules->size() - kFrame - 1] == '\n') {
        parse_modules(std::string_view(*modules).substr(kFrame, modules->size() - 2 * kFrame), info);
    }
    return std::optional<GoBuildInfo>(std::move(info));
}

}  // namespace sonde
