// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "userspace/symbols/symbol_report.h"

namespace sonde {

// What a reader of a hostile file may take.
struct ChildLimits {
    std::chrono::milliseconds time{5000};
    uint64_t memory_bytes = uint64_t{768} << 20;  // of its address space, ours included
    uint64_t report_bytes = uint64_t{96} << 20;
};

// read_symbols in a process of its own, which opens the file and then gives up all privileges: see sandbox.h. What goes
// wrong there ends that process, and is an error here: "...: its reader was killed by SIGSEGV". To be called while this
// process has one thread. Blocks for `limits.time` and a second at most, and while it decodes the report.
Result<SymbolReport> read_symbols_in_child(const SymbolRequest& request, const ChildLimits& limits = {});

}  // namespace sonde
