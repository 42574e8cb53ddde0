// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "userspace/app/client_finder.h"

namespace sonde {

enum class CallState {
    kTimed,    // can be timed
    kPartly,   // some of its functions can be timed, others are let alone
    kRefused,  // it is there, and is let alone
    kAbsent,   // the program has no function of it
};
[[nodiscard]] const char* state_name(CallState state);  // "can be timed", "in part", "let alone", "absent"

struct CallReport {
    const CatalogCall* call = nullptr;
    CallState state = CallState::kAbsent;
    std::string why;    // where it is not timed
    bool dear = false;  // the kernel single-steps its first instruction: not only its returns
};

// What `sonde clients` says of the processes of one client that run one program.
struct ClientReport {
    FoundClient client;  // of the first process
    std::vector<pid_t> pids;
    std::string version;  // empty: the program does not say
    std::string runtime;  // "go1.26.4", "rustc 1.95.0", "C/C++ (GCC 12.2.0)", "Java"
    std::string symbols;  // "symbol table", "Go's function table (stripped)", "dynamic symbols only", "none"
    std::string owner;    // see cgroup_owner
    std::vector<uint16_t> ports;
    std::vector<CallReport> calls;
    std::string what_would_help;  // empty unless no call can be timed
};

struct ClientsReport {
    std::vector<ClientReport> clients;
    std::string kernel_unknown;  // why this kernel could not be asked what it refuses; empty: it was
};

// Looks at all processes. Takes as long as it takes to read the programs of those that are clients.
[[nodiscard]] ClientsReport report_clients(const Catalog& catalog, const RootedFs& fs);

}  // namespace sonde
