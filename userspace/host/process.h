// SPDX-License-Identifier: Apache-2.0
//
// What /proc tells of one process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/base/rooted_fs.h"

namespace sonde {

struct ProcessInfo {
    pid_t pid = 0;
    uint64_t start_ticks = 0;          // since boot; with the pid it names the process for good
    std::string comm;                  // what it calls itself
    std::string executable;            // path in its own mount namespace; empty for a kernel thread
    bool executable_replaced = false;  // the file is no longer there: upgraded, or deleted
    std::vector<std::string> command;  // its command line, as far as it is kept here
    std::string cgroup;                // path in the hierarchy of version 2, or of systemd's in version 1
};

// All processes, kernel threads included.
[[nodiscard]] Result<std::vector<pid_t>> process_ids(const RootedFs& fs);

// An error with ESRCH once it has ended. What only its owner may see (its executable) is empty for others.
[[nodiscard]] Result<ProcessInfo> read_process(const RootedFs& fs, pid_t pid);

// Field 22 of /proc/PID/stat; 0 once it has ended.
[[nodiscard]] uint64_t start_ticks(const RootedFs& fs, pid_t pid);

[[nodiscard]] std::vector<std::string> thread_names(const RootedFs& fs, pid_t pid);

// Who runs it, from its cgroup: "geth.service", "docker 3f2a9c01b2d4", "pod ...", or empty.
[[nodiscard]] std::string cgroup_owner(const std::string& cgroup);

}  // namespace sonde
