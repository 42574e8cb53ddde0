// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "userspace/probes/probe.h"
#include "userspace/symbols/target_file.h"

namespace sonde {

// One copy of a function in a program's file, or a pair of static tracepoints: where to put its probes.
struct CallSites {
    bool go = false;             // compiled by Go: never gets a return probe, which would crash the process
    uint64_t begin = 0;          // file offset
    bool begin_is_nop5 = false;  // see ProbeSite
    bool stepped = false;        // the kernel single-steps the instruction at its beginning, as it does every return
    // File offsets of all returns; empty where the function may end otherwise, and is then seen by a return probe only.
    std::vector<uint64_t> ends;
    // A return probe is possible, where the kernel and the process allow one. It is the cheaper one, for the kernel
    // single-steps return instructions; but it is dangerous where a program switches between stacks by means of its
    // own, and the kernel has no more than 64 of them under way per thread.
    bool return_probe = false;
    bool prefers_return_probe = false;  // of a program of which more is known than its file tells
    bool by_thread = false;  // begin and ends are in different functions, of one thread; the ends of another copy serve
    uint64_t begin_semaphore = 0;          // file offset of the counter of those who watch; 0: there is none
    std::vector<uint64_t> end_semaphores;  // those of `ends`; empty: there are none
};

// What tells calls of a function apart: a Go string in the struct that an argument points to.
struct CallTexts {
    unsigned argument = 0;  // the first is 1; 0: none
    unsigned text_at = 0;
    std::vector<std::string> known;  // those that have a distribution of their own; all others are "other"
};

// A call that is timed: all its functions in one process, and all copies of these, together.
struct ClientCall {
    std::string name;      // label
    std::string question;  // for people; may be empty
    std::string within;    // the call that makes this one; may be empty
    std::string counts;    // what each is one of, as "blocks"; may be empty
    std::vector<CallSites> copies;
    CallTexts texts;
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
    // One process more, while attached; nothing if it is there already. An error if none of its functions could be
    // attached.
    virtual Status add(ClientTarget target) = 0;
    // What could not be attached so far, a line each: "core.insertChain in process 12: ...". Emptied by the call.
    [[nodiscard]] virtual std::vector<std::string> take_refusals() = 0;
    // Of processes that have probes now; calls of one name in several processes are several.
    struct Extent {
        size_t processes = 0;
        size_t calls = 0;
    };
    [[nodiscard]] virtual Extent extent() const = 0;
};

// A function that is called more often than this in a process is let go again within a second, and named; so are the
// dearest of a process whose probes cost it more than the budget. What a probe costs is measured when they are
// attached.
struct CallLimits {
    uint64_t calls_per_second = 20'000;
    double budget = 0.1;  // of the time of one CPU, for each process; 0: none
};

// Why a call is let alone on this kernel, in a process with or without a filter for its system calls; empty if it is
// not.
[[nodiscard]] std::string why_not_timed(const ClientCall& call, bool seccomp, const KernelFeatures& features);

[[nodiscard]] Result<std::unique_ptr<ClientProbe>> load_client_probe(std::vector<ClientTarget> targets,
                                                                     const KernelFeatures& features,
                                                                     const CallLimits& limits = {});

}  // namespace sonde
