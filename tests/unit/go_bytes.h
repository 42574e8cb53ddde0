// SPDX-License-Identifier: Apache-2.0
//
// Go's function table and build information made byte by byte, after runtime/symtab.go and debug/buildinfo.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/elf_bytes.h"

namespace sonde::test {

enum class GoFormat : uint32_t { k1_2 = 0xfffffffb, k1_16 = 0xfffffffa, k1_18 = 0xfffffff0, k1_20 = 0xfffffff1 };

// Functions by name and address, sorted; `end` is the end of the last. `text` is what the header says.
inline std::string go_table(GoFormat format, const std::vector<std::pair<std::string, uint64_t>>& functions,
                            uint64_t end, uint64_t text_base, uint64_t text_word)
{
    const bool relative = format != GoFormat::k1_16;
    const auto word = [relative](uint64_t n) { return relative ? raw(static_cast<uint32_t>(n)) : raw(n); };
    const auto entry = [&](uint64_t address) { return word(relative ? address - text_base : address); };
    std::string names(1, '\0');
    std::string records;
    std::string table;
    const uint64_t table_bytes = functions.size() * 2 * word(0).size() + word(0).size();
    for (const auto& [name, address] : functions) {
        table += entry(address) + word(table_bytes + records.size());
        records += entry(address) + raw(static_cast<uint32_t>(names.size()));
        names += name + '\0';
    }
    table += entry(end);
    std::string header = raw(static_cast<uint32_t>(format)) + std::string("\0\0\1\x08", 4) +
                         raw(uint64_t{functions.size()}) + raw(uint64_t{0});
    const uint64_t header_bytes = relative ? 72 : 64;
    if (relative) {
        header += raw(text_word);
    }
    header += raw(header_bytes) + raw(uint64_t{0}) + raw(uint64_t{0}) + raw(uint64_t{0}) +
              raw(uint64_t{header_bytes + names.size()});
    return header + names + table + records;
}

// runtime.moduledata: what of it is read.
inline std::string go_module(uint64_t table, uint64_t text, uint64_t min_pc, uint64_t max_pc)
{
    std::string module(400, '\0');
    put(module, 0, raw(table));
    put(module, 160, raw(min_pc) + raw(max_pc) + raw(text));
    return module;
}

inline std::string go_varint_string(const std::string& text)
{
    std::string bytes;
    for (uint64_t n = text.size(); true; n >>= 7) {
        bytes += static_cast<char>((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        if (n <= 0x7f) {
            return bytes + text;
        }
    }
}

constexpr const char* kGoModules =
    "0123456789abcdefpath\texample.com/node/cmd/node\nmod\texample.com/node\tv1.2.3\th1:sum=\n"
    "dep\texample.com/db\tv0.1.0\n=>\texample.com/fork\tv0.2.0\th1:x=\nbuild\t-ldflags=\"-s -w -X a=\\\"b\\\"\"\nbuild\t\"a=b\"=c\nbuild\tCGO_ENABLED=0\n"
    "0123456789abcdef";

inline std::string go_build_info(const std::string& version, const std::string& modules)
{
    std::string bytes("\xff Go buildinf:\x08\x02", 16);
    bytes.resize(32);
    return bytes + go_varint_string(version) + go_varint_string(modules);
}

}  // namespace sonde::test
