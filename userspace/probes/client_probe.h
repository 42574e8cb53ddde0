// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "userspace/probes/probe.h"
#include "userspace/symbols/target_file.h"

namespace sonde {

// One copy of a function in a program's file: where to put its probes.
struct CallSites {
    uint64_t function = 0;       // file offset
    uint64_t begin = 0;          // file offset
    bool begin_is_nop5 = false;  // see ProbeSite
    std::vector<uint64_t> ends;  // file offsets; empty: a return probe on the function
};

// A function of one process. All copies of it (instances of a generic function) are counted together.
struct ClientCall {
    std::string name;
    bool go = false;  // never gets a return probe: it would crash the process
    std::vector<CallSites> copies;
};

struct ClientTarget {
    pid_t pid = 0;
    std::string client;   // label
    std::string process;  // label
    std::string path;     // of its program, as the kernel can open it: /proc/PID/exe
    FileIdentity file;    // that the offsets are of
    bool seccomp = true;  // it has a filter for its system calls
    std::vector<ClientCall> calls;
};

// Calls to functions inside processes, by uprobes: sonde_client_call_seconds{client,process,call}. Each probe is
// for one process; the file is looked at before they are put in place, again behind that, and twice a second: if it is
// another one they are taken back.
class ClientProbe : public Probe {
  public:
    // What could not be attached so far, a line each: "core.insertChain in process 12: ...". Emptied by the call.
    [[nodiscard]] virtual std::vector<std::string> take_refusals() = 0;
};

// A function that is called more often than this is let go again within a second, and named; so are the most frequent
// of a process that hits more probes than this.
struct CallLimits {
    uint64_t calls_per_second = 20'000;
    uint64_t probes_per_second = 100'000;
};

// REQUIRES: a Go call has ends.
[[nodiscard]] Result<std::unique_ptr<ClientProbe>> load_client_probe(std::vector<ClientTarget> targets,
                                                                     const KernelFeatures& features,
                                                                     const CallLimits& limits = {});

}  // namespace sonde
