// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "userspace/base/result.h"
#include "userspace/base/unique_fd.h"

namespace sonde {

// Whether something works here; if not, why.
struct Feature {
    bool works = false;
    std::string why_not;
};

// What this kernel and these privileges allow, found out by trying: loading two-instruction programs, creating
// one-entry maps, looking names up in the kernel's BTF. Never by the kernel's version. A value; some
// milliseconds to make.
struct KernelFeatures {
    Feature btf;                // types of the kernel, from itself or from a file
    Feature raw_tracepoints;    // raw_tp programs load
    Feature typed_tracepoints;  // tp_btf programs load
    Feature fentry;             // fentry and fexit programs load
    Feature task_storage;
    Feature socket_storage;
    Feature probe_read_kernel;  // refused under lockdown=confidentiality
    Feature bpf_statistics;     // BPF_ENABLE_STATS

    std::map<std::string, int> tracepoints;    // in the BTF: number of arguments, -1 if unknown; empty without BTF
    std::map<std::string, int> function_args;  // of the functions that sonde asks about: number of arguments

    // Where libbpf finds the types that sonde's BPF objects refer to: a file in memory, or the one given; empty: the
    // kernel's own.
    std::string btf_file;
    std::shared_ptr<UniqueFd> btf_memory;  // keeps it
    std::string no_subset;                 // why the types are not in memory, which only makes loading slower

    [[nodiscard]] bool tracepoint_has_args(const std::string& name, int at_least) const
    {
        const auto found = tracepoints.find(name);
        return found != tracepoints.end() && found->second >= at_least;
    }

    // With an unreadable or unfit `btf_file` (empty: the kernel's own): an error. Missing features are not errors.
    [[nodiscard]] static Result<KernelFeatures> probe(const std::string& btf_file);
};

}  // namespace sonde
