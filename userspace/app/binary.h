// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "userspace/base/rooted_fs.h"
#include "userspace/symbols/symbol_report.h"

namespace sonde {

struct BinaryQuestion {
    std::string target;                   // a path, or the number of a process, whose program is meant
    std::vector<std::string> patterns{};  // see SymbolRequest
    bool with_sites = false;
    std::string version_mark{};  // see SymbolRequest
};

// What a program's file says, and those of its functions that match; with the symbols of a separate debug file
// (/usr/lib/debug/.build-id) where the program has none. Read in a child without privileges.
Result<SymbolReport> examine_binary(const BinaryQuestion& question, const RootedFs& fs);

}  // namespace sonde
