// SPDX-License-Identifier: Apache-2.0
#include "userspace/host/kernel_settings.h"

#include <algorithm>
#include <charconv>
#include <sstream>

namespace sonde {
namespace {

std::string line_or_unknown(const RootedFs& fs, const char* path)
{
    const Result<std::string> line = fs.read_line(path);
    return line ? *line : "unknown (" + line.error().what + ")";
}

// "none [integrity] confidentiality" -> "integrity"
std::string read_lockdown(const RootedFs& fs)
{
    const Result<std::string> line = fs.read_line("/sys/kernel/security/lockdown");
    if (!line) {
        return fs.exists("/sys/kernel/security/lsm") ? "none (not built into this kernel)"
                                                     : "unknown (securityfs is not mounted)";
    }
    const size_t open = line->find('[');
    const size_t close = line->find(']');
    if (open == std::string::npos || close == std::string::npos || close < open) {
        return *line;
    }
    return line->substr(open + 1, close - open - 1);
}

std::string read_jit(const RootedFs& fs)
{
    const Result<std::string> enabled = fs.read_line("/proc/sys/net/core/bpf_jit_enable");
    if (!enabled) {
        return "unknown (" + enabled.error().what + ")";
    }
    if (*enabled == "0") {
        return "off: BPF programs are interpreted, several times slower";
    }
    const Result<std::string> harden = fs.read_line("/proc/sys/net/core/bpf_jit_harden");
    const bool hardened = harden && *harden == "2";
    return hardened ? "on, hardened (constants are blinded for root too: slower)" : "on";
}

std::string read_cgroup(const RootedFs& fs)
{
    const Result<std::string> mounts = fs.read("/proc/self/mounts");
    if (!mounts) {
        return "unknown (" + mounts.error().what + ")";
    }
    const bool v1 = mounts->find(" cgroup ") != std::string::npos;
    const bool v2 = mounts->find(" cgroup2 ") != std::string::npos;
    if (v1 && v2) {
        return "v1 and v2 (hybrid): filters and names use v2";
    }
    return v2 ? "v2" : v1 ? "v1: --cgroup needs v2" : "none mounted";
}

}  // namespace

Result<uint32_t> parse_cpu_count(const std::string& list)
{
    if (list.find_first_not_of("0123456789,-") != std::string::npos) {
        return Error{EINVAL, "not a list of CPUs: '" + list + "'"};
    }
    const size_t last = list.find_last_of(",-");
    const char* begin = list.data() + (last == std::string::npos ? 0 : last + 1);
    uint32_t highest = 0;
    const auto [end, error] = std::from_chars(begin, list.data() + list.size(), highest);
    if (error != std::errc() || end != list.data() + list.size() || highest >= 65536) {
        return Error{EINVAL, "not a list of CPUs: '" + list + "'"};
    }
    return highest + 1;
}

KernelSettings read_kernel_settings(const RootedFs& fs)
{
    KernelSettings settings;
    settings.release = line_or_unknown(fs, "/proc/sys/kernel/osrelease");
    settings.lockdown = read_lockdown(fs);
    settings.jit = read_jit(fs);
    settings.perf_event_paranoid = line_or_unknown(fs, "/proc/sys/kernel/perf_event_paranoid");
    settings.unprivileged_bpf_disabled = line_or_unknown(fs, "/proc/sys/kernel/unprivileged_bpf_disabled");
    settings.cgroup = read_cgroup(fs);
    const Result<unsigned long long> pid_max = fs.read_number("/proc/sys/kernel/pid_max");
    if (pid_max) {
        settings.pid_max = static_cast<uint32_t>(std::min<unsigned long long>(*pid_max, UINT32_MAX));
    }
    const Result<std::string> possible = fs.read_line("/sys/devices/system/cpu/possible");
    const Result<uint32_t> cpus = possible ? parse_cpu_count(*possible) : Result<uint32_t>(possible.error());
    if (cpus) {
        settings.possible_cpus = *cpus;
    }
    return settings;
}

Result<std::string> find_cgroup2_mount(const RootedFs& fs)
{
    const Result<std::string> mounts = fs.read("/proc/self/mounts");
    if (!mounts) {
        return mounts.error();
    }
    std::istringstream lines(*mounts);
    std::string line;
    while (std::getline(lines, line)) {
        std::istringstream fields(line);
        std::string device;
        std::string path;
        std::string type;
        if (fields >> device >> path >> type && type == "cgroup2") {
            return path;
        }
    }
    return Error{ENOENT, "no cgroup v2 hierarchy is mounted"};
}

}  // namespace sonde
