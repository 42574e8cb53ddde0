// SPDX-License-Identifier: Apache-2.0
//
// From what a person names (a pid, a name, a cgroup's path) to a filter, checked.
#pragma once

#include <string>

#include "userspace/base/result.h"
#include "userspace/base/rooted_fs.h"
#include "userspace/base/unique_fd.h"
#include "userspace/probes/probe.h"

namespace sonde {

// Pids mean something else in another pid namespace, and the kernel side knows only the host's: an error there.
[[nodiscard]] Status check_pid_namespace(const RootedFs& fs);

struct PidTarget {
    TaskFilter filter;
    UniqueFd pidfd;  // becomes readable when the process ends
};
// A process that exists, by the pid of its leader; a thread's id is refused with the right pid in the message.
[[nodiscard]] Result<PidTarget> target_pid(const RootedFs& fs, pid_t pid);

// A name as the kernel keeps it: 1 to 15 bytes.
[[nodiscard]] Result<TaskFilter> target_comm(const std::string& comm);
// Is there a process of that name now? False also when /proc cannot be read.
[[nodiscard]] bool process_named(const RootedFs& fs, const std::string& comm);

// A cgroup v2 folder: its path in the file system, or below the mount of the hierarchy.
[[nodiscard]] Result<TaskFilter> target_cgroup(const RootedFs& fs, const std::string& path);

}  // namespace sonde
