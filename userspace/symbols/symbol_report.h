// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/symbols/bytes.h"
#include "userspace/symbols/code_sites.h"
#include "userspace/symbols/elf_notes.h"
#include "userspace/symbols/function.h"
#include "userspace/symbols/go_build_info.h"
#include "userspace/symbols/target_file.h"

namespace sonde {

// What is asked about a program.
struct SymbolRequest {
    std::string path;
    std::string debug_path;             // of a separate debug file; empty: none
    std::vector<std::string> patterns;  // NamePattern, of functions; for USDT probes of "PROVIDER:NAME". Empty: all
    bool with_sites = false;            // decode the functions
    std::string version_mark;           // a text in the program's data, behind which its version stands; empty: none
};

struct FunctionSymbol {
    std::string name;     // the file's
    std::string display;  // as a person reads it: display_name()
    uint64_t address = 0;
    uint64_t offset = 0;  // in the file
    uint64_t size = 0;    // 0: unknown
    SymbolSource source = SymbolSource::kSymtab;
    bool go = false;                // compiled by Go: it is in Go's function table
    std::vector<uint32_t> matched;  // which of the request's patterns fit its name
    std::optional<FunctionSites> sites;
    std::string no_sites;  // asked for, but: why not
};

// What a program's file says of itself. All strings are the file's, of any bytes.
struct BinaryFacts {
    FileIdentity file;
    uint16_t machine = 0;  // EM_...
    bool relocatable = false;
    bool has_symtab = false;
    bool has_dynsym = false;
    // Exceptions, panics or switches between stacks may pass through its functions; also where that cannot be told.
    bool may_unwind = true;
    std::string build_id;
    std::string compilers;  // as the section .comment has them, separated by "; "
    std::optional<GoBuildInfo> go;
    std::string version;   // what stands behind the request's mark; empty if there is none
    std::string go_table;  // the oldest Go version with the format of its function table
};

struct SymbolReport {
    static constexpr uint64_t kMaxFunctions = 500'000;
    static constexpr uint64_t kMaxSites = 200'000;  // of all functions; further ones are not decoded
    static constexpr uint64_t kMaxProblems = 64;
    static constexpr uint64_t kMaxPatterns = 1024;  // of a request

    BinaryFacts facts;
    std::vector<FunctionSymbol> functions;  // matching ones, by offset; each name and place once, from the first source
    uint64_t functions_seen = 0;
    bool truncated = false;  // there are more than kMaxFunctions
    std::vector<UsdtProbe> usdt;
    std::vector<std::string> problems;  // what could not be read, a line each
};

// The files of a request, opened.
struct SymbolFiles {
    TargetFile program;
    std::optional<TargetFile> debug;
    std::string debug_problem;  // why there is none although one was named

    static Result<SymbolFiles> open(const SymbolRequest& request);
};

// Reads the program in this process; see symbol_child.h for programs that are not trusted. An error only where nothing
// can be said of the file. Opens nothing.
Result<SymbolReport> read_symbols(const SymbolRequest& request, const SymbolFiles& files);

// For the way from one process to another. What decodes is well-formed, whoever encoded it.
[[nodiscard]] std::vector<char> encode(SymbolReport report);
Result<SymbolReport> decode_report(Bytes bytes);

}  // namespace sonde
