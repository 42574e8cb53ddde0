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
    std::vector<ClientCall> calls;
};

// Calls to functions inside processes, by uprobes: sonde_client_call_seconds{client,process,call}. Each probe is
// for one process; the file is looked at again once all are in place, and if it is another one they are taken back.
// A function that is called more often than kMaxCallsPerSecond is let go again within a second, and named.
class ClientProbe : public Probe {
  public:
    static constexpr uint64_t kMaxCallsPerSecond = 20'000;

    // What could not be attached so far, a line each: "core.insertChain in process 12: ...". Emptied by the call.
    [[nodiscard]] virtual std::vector<std::string> take_refusals() = 0;
};

// REQUIRES: a Go call has ends.
[[nodiscard]] Result<std::unique_ptr<ClientProbe>> load_client_probe(std::vector<ClientTarget> targets,
                                                                     const KernelFeatures& features);

}  // namespace sonde
