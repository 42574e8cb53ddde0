// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/base/rooted_fs.h"
#include "userspace/probes/client_probe.h"
#include "userspace/symbols/symbol_report.h"

namespace sonde {

// What a person asks for with --uprobe: "PATH_OR_PID:PATTERN".
struct CallSpec {
    std::string target;
    std::string pattern;  // NamePattern
};
[[nodiscard]] Result<CallSpec> parse_call_spec(const std::string& text);

struct CallTargets {
    std::vector<ClientTarget> targets;  // processes, each with one function at least
    std::vector<std::string> refusals;  // functions that match and are not to be probed, and why; a line each
};

// The processes that run what the specs name, and where in their programs the functions begin and end. An error where a
// spec names no process, or no function that can be timed.
[[nodiscard]] Result<CallTargets> find_call_targets(const std::vector<CallSpec>& specs, const RootedFs& fs);

// Whether it filters its system calls, or that cannot be told.
[[nodiscard]] bool has_seccomp_filter(const RootedFs& fs, pid_t pid);

// Where to put the probes of a function, or why it is let alone. What is not Go and may end other than by a return is
// given to a return probe; not where exceptions or panics may pass through it (C++, Rust), because that would find the
// kernel's address on the stack and end the process. Pure.
[[nodiscard]] Result<CallSites> choose_sites(const FunctionSymbol& function, const BinaryFacts& facts);

}  // namespace sonde
