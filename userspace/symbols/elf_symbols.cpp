// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/elf_symbols.h"

#include <elf.h>

#include <algorithm>

namespace sonde {
namespace {

const ElfSection* find_table(const ElfFile& elf, ElfTable table)
{
    const uint32_t type = table == ElfTable::kSymtab ? SHT_SYMTAB : SHT_DYNSYM;
    const auto& sections = elf.sections();
    const auto found =
        std::find_if(sections.begin(), sections.end(), [type](const ElfSection& s) { return s.type == type; });
    return found == sections.end() ? nullptr : &*found;
}

}  // namespace

const char* source_name(SymbolSource source)
{
    switch (source) {
        case SymbolSource::kSymtab:
            return "symtab";
        case SymbolSource::kDynsym:
            return "dynsym";
        case SymbolSource::kDebugFile:
            return "debug file";
        case SymbolSource::kPclntab:
            return "pclntab";
    }
    return "?";
}

bool has_table(const ElfFile& elf, ElfTable table)
{
    const ElfSection* section = find_table(elf, table);
    return section != nullptr && section->size > sizeof(Elf64_Sym);
}

bool imports_any(const ElfFile& elf, const std::vector<std::string_view>& prefixes)
{
    const ElfSection* section = find_table(elf, ElfTable::kDynsym);
    if (section == nullptr || section->link >= elf.sections().size()) {
        return section != nullptr;
    }
    const Result<std::vector<char>> symbols = elf.contents(*section);
    const Result<std::vector<char>> strings = elf.contents(elf.sections()[section->link]);
    if (!symbols || !strings) {
        return true;
    }
    const Bytes table(*symbols);
    for (uint64_t at = 0; const std::optional<Elf64_Sym> s = table.at<Elf64_Sym>(at); at += sizeof(Elf64_Sym)) {
        const std::string_view name = Bytes(*strings).string_at(s->st_name).value_or("");
        if (s->st_shndx == SHN_UNDEF &&
            std::any_of(prefixes.begin(), prefixes.end(), [name](std::string_view p) { return name.starts_with(p); })) {
            return true;
        }
    }
    return false;
}

Status for_each_elf_function(const ElfFile& elf, ElfTable table, SymbolSource source, const FunctionVisitor& visit)
{
    const ElfSection* section = find_table(elf, table);
    if (section == nullptr) {
        return ok();
    }
    if (section->link >= elf.sections().size()) {
        return Error{EINVAL, section->name + ": its names are in no section"};
    }
    const Result<std::vector<char>> symbols = elf.contents(*section);
    if (!symbols) {
        return symbols.error().with(section->name);
    }
    const Result<std::vector<char>> strings = elf.contents(elf.sections()[section->link]);
    if (!strings) {
        return strings.error().with("names of " + section->name);
    }
    const Bytes table_bytes(*symbols);
    const Bytes names(*strings);
    for (uint64_t at = 0; const std::optional<Elf64_Sym> s = table_bytes.at<Elf64_Sym>(at); at += sizeof(Elf64_Sym)) {
        if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || s->st_shndx == SHN_UNDEF || s->st_value == 0) {
            continue;
        }
        const std::optional<std::string_view> name = names.string_at(s->st_name);
        if (name && !name->empty() && !visit({*name, s->st_value, s->st_size, source})) {
            break;
        }
    }
    return ok();
}

}  // namespace sonde
