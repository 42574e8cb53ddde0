// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/target.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "userspace/host/kernel_settings.h"

namespace sonde {
namespace {

constexpr const char* kHostPidNamespace = "pid:[4026531836]";  // PROC_PID_INIT_INO, the same on all kernels

// The thread group of a task, from /proc/PID/status; 0 when it has gone.
pid_t thread_group(const RootedFs& fs, pid_t pid)
{
    const Result<std::string> status = fs.read("/proc/" + std::to_string(pid) + "/status");
    const size_t at = status ? status->find("\nTgid:") : std::string::npos;
    return at == std::string::npos ? 0 : static_cast<pid_t>(std::strtol(status->c_str() + at + 6, nullptr, 10));
}

}  // namespace

Status check_pid_namespace(const RootedFs& fs)
{
    const Result<std::string> own = fs.read_link("/proc/self/ns/pid");
    if (own && *own != kHostPidNamespace) {
        return Error{EINVAL,
                     "pids are not the host's in this pid namespace: run sonde on the host, or the container with "
                     "--pid=host; --cgroup and --comm work here too"};
    }
    return ok();
}

Result<PidTarget> target_pid(const RootedFs& fs, pid_t pid)
{
    const std::string name = std::to_string(pid);
    const pid_t tgid = thread_group(fs, pid);
    if (tgid == 0) {
        return Error{ESRCH, "there is no process " + name};
    }
    if (tgid != pid) {
        return Error{EINVAL,
                     name + " is a thread of process " + std::to_string(tgid) + ": use -p " + std::to_string(tgid)};
    }
    UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) {
        return Error::from_errno(errno, "watch process " + name);
    }
    PidTarget target;
    target.filter.kind = SONDE_FILTER_PROCESS;
    target.filter.tgid = pid;
    target.pidfd = std::move(pidfd);
    return target;
}

Result<TaskFilter> target_comm(const std::string& comm)
{
    if (comm.empty() || comm.size() >= SONDE_COMM_LEN) {
        return Error{EINVAL, "--comm '" + comm + "' has " + std::to_string(comm.size()) +
                                 " bytes: the kernel keeps 1 to 15 of a process name (see /proc/PID/comm)"};
    }
    TaskFilter filter;
    filter.kind = SONDE_FILTER_COMM;
    filter.comm = comm;
    return filter;
}

bool process_named(const RootedFs& fs, const std::string& comm)
{
    const Result<std::vector<std::string>> names = fs.list("/proc");
    return names && std::ranges::any_of(*names, [&](const std::string& pid) {
               const Result<std::string> name = fs.read("/proc/" + pid + "/comm");
               return name && *name == comm + "\n";
           });
}

Result<TaskFilter> target_cgroup(const RootedFs& fs, const std::string& path)
{
    const Result<std::string> mount = find_cgroup2_mount(fs);
    if (!mount) {
        return mount.error();
    }
    struct statfs volume {};
    std::string folder = path;
    if (::statfs(folder.c_str(), &volume) != 0) {
        folder = *mount + (path.starts_with('/') ? "" : "/") + path;
        if (::statfs(folder.c_str(), &volume) != 0) {
            return Error::from_errno(errno, "cgroup " + path);
        }
    }
    if (static_cast<unsigned long>(volume.f_type) == CGROUP_SUPER_MAGIC) {
        return Error{EINVAL,
                     "cgroup " + path + " belongs to cgroup v1: give the folder below " + *mount + " (cgroup v2)"};
    }
    if (static_cast<unsigned long>(volume.f_type) != CGROUP2_SUPER_MAGIC) {
        return Error{EINVAL, path + " is not a cgroup: give a folder below " + *mount};
    }
    struct stat info {};
    if (::stat(folder.c_str(), &info) != 0) {
        return Error::from_errno(errno, "cgroup " + path);
    }
    if (!S_ISDIR(info.st_mode)) {
        return Error{ENOTDIR, path + " is a file of a cgroup: give its folder"};
    }
    TaskFilter filter;
    filter.kind = SONDE_FILTER_CGROUP;
    filter.cgroup_id = info.st_ino;  // of a cgroup v2 folder, the inode number is the cgroup's id
    return filter;
}

}  // namespace sonde
