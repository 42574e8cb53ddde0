// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/host/kernel_settings.h"
#include "userspace/metrics/snapshot.h"

namespace sonde {

// What this kernel and these privileges allow.
struct DoctorReport {
    struct Measurement {
        std::string name;
        std::string hook;  // empty: none works
        ProbeState state = ProbeState::kOff;
        std::string cost;                   // class: "low", "medium"
        std::string reason;                 // what is lost, or why it is off
        std::string remedy;                 // what would bring it, or make it better; empty: nothing known
        std::vector<std::string> rejected;  // better hooks and why they were passed over
    };
    struct Fact {
        std::string name;
        std::string value;
        bool limits = false;  // takes something away from sonde
    };
    std::string host;
    KernelSettings kernel;
    std::vector<Measurement> measurements;
    std::vector<Fact> facts;
    std::string task_store;
    uint64_t kernel_bytes = 0;           // of all maps at defaults, as the kernel accounts them; 0: nothing loads
    uint64_t kernel_bytes_computed = 0;  // the same, by the sizes of the elements
    uint64_t kernel_bytes_large = 0;     // computed for 128 CPUs and 4,000 processes of ten threads

    [[nodiscard]] bool all_work() const;  // every essential measurement, degraded ones included
    [[nodiscard]] bool none_works() const;
};

// Loads every program that would be used, without attaching it. An unusable BTF file is an error; missing
// features and privileges are results.
[[nodiscard]] Result<DoctorReport> examine_host(const std::string& btf_file, bool verbose);

}  // namespace sonde
