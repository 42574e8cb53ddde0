// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace sonde {

// Where a function's name is from.
enum class SymbolSource : uint8_t {
    kSymtab,     // .symtab of the program
    kDynsym,     // .dynsym: what it offers to other objects
    kDebugFile,  // .symtab of a separate debug file with the same build-id
    kPclntab,    // Go's table of functions, which the Go runtime itself needs
};

// As "symtab"; "?" for a value out of range.
[[nodiscard]] const char* source_name(SymbolSource source);

// A function in a program, as its reader passes it by; the name is the file's, of any bytes.
struct FunctionView {
    std::string_view name;
    uint64_t address = 0;  // in the image, before it is moved
    uint64_t size = 0;     // in bytes; 0 unknown. Of Go functions with the padding behind them
    SymbolSource source = SymbolSource::kSymtab;
};

// Called for each function; false ends the walk.
using FunctionVisitor = std::function<bool(const FunctionView&)>;

}  // namespace sonde
