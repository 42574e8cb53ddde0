// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "userspace/symbols/symbol_report.h"

namespace sonde {

// What a reader of a hostile file may take.
struct ChildLimits {
    std::chrono::milliseconds time{5000};         // geth takes 0.1 s
    uint64_t memory_bytes = uint64_t{768} << 20;  // of its address space, ours included
    uint64_t report_bytes = uint64_t{256} << 20;
};

// read_symbols in a process of its own, which opens the file and then gives up all privileges: the user (if we are
// root), capabilities, all other descriptors, and by seccomp all system calls but those that read, write to the pipe
// and manage memory. What goes wrong there ends that process, and is an error here: "...: killed by SIGSEGV".
// To be called while this process has one thread. Blocks for `limits.time` at most.
Result<SymbolReport> read_symbols_in_child(const SymbolRequest& request, const ChildLimits& limits = {});

}  // namespace sonde
