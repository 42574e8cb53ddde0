// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/symbols/elf_file.h"
#include "userspace/symbols/function.h"

namespace sonde {

// Which of the tables of symbols to go through.
enum class ElfTable : uint8_t { kSymtab, kDynsym };

[[nodiscard]] bool has_table(const ElfFile& elf, ElfTable table);

// Whether a symbol that this file needs from others has one of these prefixes; also if its table cannot be read.
[[nodiscard]] bool imports_any(const ElfFile& elf, const std::vector<std::string_view>& prefixes);

// The functions that are defined in this file, in the order of the table, aliases included. No table: no functions.
// Indirect functions (STT_GNU_IFUNC) are left out: their address is that of the resolver. An entry that points nowhere
// is passed over. `source` is what the functions are said to be from.
Status for_each_elf_function(const ElfFile& elf, ElfTable table, SymbolSource source, const FunctionVisitor& visit);

}  // namespace sonde
