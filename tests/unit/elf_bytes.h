// SPDX-License-Identifier: Apache-2.0
//
// ELF files made byte by byte, for tests of their reader.
#pragma once

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace sonde::test {

template <class T>
std::string raw(const T& value)
{
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

inline void put(std::string& bytes, size_t at, const std::string& what)
{
    if (bytes.size() < at + what.size()) {
        bytes.resize(at + what.size());
    }
    bytes.replace(at, what.size(), what);
}

// A program whose file is loaded as a whole, in one segment at an address; sections lie anywhere in it.
class Elf {
  public:
    static constexpr uint64_t kHeaders = 4096;  // where the first section may lie

    explicit Elf(uint64_t address = 0x400000, uint16_t type = ET_EXEC) : address_(address), type_(type) {}

    // Behind what is there; returns its address.
    uint64_t add(const std::string& name, const std::string& content, uint32_t type = SHT_PROGBITS, uint32_t link = 0)
    {
        const uint64_t offset = (bytes_.size() + 63) / 64 * 64;
        put(bytes_, offset, content);
        sections_.push_back({name, type, offset, content.size(), link});
        return address_ + offset;
    }
    // The index of the section that comes next.
    [[nodiscard]] uint32_t next_index() const { return static_cast<uint32_t>(sections_.size() + 1); }
    [[nodiscard]] uint64_t next_address() const { return address_ + (bytes_.size() + 63) / 64 * 64; }

    // Symbols (name, address, size) as .symtab and .strtab.
    void add_symbols(const std::vector<std::tuple<std::string, uint64_t, uint64_t>>& symbols)
    {
        std::string names(1, '\0');
        std::string table = raw(Elf64_Sym{});
        for (const auto& [name, address, size] : symbols) {
            Elf64_Sym s{};
            s.st_name = static_cast<uint32_t>(names.size());
            s.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
            s.st_shndx = 1;
            s.st_value = address;
            s.st_size = size;
            table += raw(s);
            names += name + '\0';
        }
        add(".strtab", names, SHT_STRTAB);
        add(".symtab", table, SHT_SYMTAB, static_cast<uint32_t>(sections_.size()));
    }
    // Words to put in when it is loaded: (address, value).
    void add_relocations(const std::vector<std::pair<uint64_t, uint64_t>>& words)
    {
        std::string table;
        for (const auto& [at, value] : words) {
            table += raw(Elf64_Rela{at, ELF64_R_INFO(0, R_X86_64_RELATIVE), static_cast<int64_t>(value)});
        }
        const uint64_t address = add(".rela.dyn", table, SHT_RELA);
        for (const auto& [tag, value] :
             {std::pair<int64_t, uint64_t>{DT_RELA, address}, {DT_RELASZ, table.size()}, {DT_NULL, 0}}) {
            dynamic_ += raw(tag) + raw(value);
        }
    }
    void without_sections() { with_sections_ = false; }
    // Bytes anywhere in the file, once it is made.
    void patch(uint64_t offset, const std::string& what) { patches_.emplace_back(offset, what); }

    [[nodiscard]] std::string bytes() const
    {
        std::string file = bytes_;
        Elf64_Ehdr h{};
        std::memcpy(h.e_ident, ELFMAG, SELFMAG);
        h.e_ident[EI_CLASS] = ELFCLASS64;
        h.e_ident[EI_DATA] = ELFDATA2LSB;
        h.e_type = type_;
        h.e_machine = EM_X86_64;
        h.e_phoff = sizeof(h);
        h.e_phnum = dynamic_.empty() ? 2 : 3;
        h.e_phentsize = sizeof(Elf64_Phdr);
        if (with_sections_) {
            add_headers(file, h);
        }
        // The same bytes as data and as code: data is looked for where no code is.
        Elf64_Phdr data{};
        data.p_type = PT_LOAD;
        data.p_flags = PF_R | PF_W;
        data.p_vaddr = address_;
        data.p_filesz = data.p_memsz = bytes_.size();
        Elf64_Phdr code = data;
        code.p_flags = PF_R | PF_X;
        Elf64_Phdr dynamic{};
        dynamic.p_type = PT_DYNAMIC;
        dynamic.p_offset = kHeaders / 2;
        dynamic.p_filesz = dynamic_.size();
        put(file, dynamic.p_offset, dynamic_);
        put(file, 0, raw(h) + raw(data) + raw(code) + (dynamic_.empty() ? "" : raw(dynamic)));
        for (const auto& [offset, what] : patches_) {
            put(file, offset, what);
        }
        return file;
    }

  private:
    struct Section {
        std::string name;
        uint32_t type;
        uint64_t offset;
        uint64_t size;
        uint32_t link;
    };

    void add_headers(std::string& file, Elf64_Ehdr& h) const
    {
        std::string names(1, '\0');
        std::string headers = raw(Elf64_Shdr{});
        for (const Section& s : sections_) {
            Elf64_Shdr header{};
            header.sh_name = static_cast<uint32_t>(names.size());
            header.sh_type = s.type;
            header.sh_addr = address_ + s.offset;
            header.sh_offset = s.offset;
            header.sh_size = s.size;
            header.sh_link = s.link;
            headers += raw(header);
            names += s.name + '\0';
        }
        Elf64_Shdr strings{};
        strings.sh_type = SHT_STRTAB;
        strings.sh_offset = file.size();
        strings.sh_size = names.size();
        headers += raw(strings);
        file += names;
        h.e_shoff = file.size();
        h.e_shnum = static_cast<uint16_t>(sections_.size() + 2);
        h.e_shstrndx = static_cast<uint16_t>(sections_.size() + 1);
        h.e_shentsize = sizeof(Elf64_Shdr);
        file += headers;
    }

    uint64_t address_;
    uint16_t type_;
    bool with_sections_ = true;
    std::string dynamic_;
    std::string bytes_ = std::string(kHeaders, '\0');
    std::vector<Section> sections_;
    std::vector<std::pair<uint64_t, std::string>> patches_;
};

}  // namespace sonde::test
