// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "userspace/base/rooted_fs.h"

namespace sonde {

// Settings of the kernel that decide what a tracer may do. A field that cannot be read says so in its text.
struct KernelSettings {
    std::string release;                    // uname -r
    std::string lockdown;                   // "none", "integrity", "confidentiality"
    std::string jit;                        // "on", "on, hardened", "off", ...
    std::string perf_event_paranoid;        // the number
    std::string unprivileged_bpf_disabled;  // the number
    std::string cgroup;                     // begins with "v2", "v1:", "v1 and v2" or "none"
    uint32_t pid_max = 32768;
    uint32_t possible_cpus = 1;
};

[[nodiscard]] KernelSettings read_kernel_settings(const RootedFs& fs);

// "0-3,8" -> 9: one more than the last number. The format of /sys/devices/system/cpu/possible, whose numbers ascend.
[[nodiscard]] Result<uint32_t> parse_cpu_count(const std::string& list);

// Where the cgroup v2 hierarchy is mounted.
[[nodiscard]] Result<std::string> find_cgroup2_mount(const RootedFs& fs);

}  // namespace sonde
