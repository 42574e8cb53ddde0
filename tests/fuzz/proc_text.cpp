// SPDX-License-Identifier: Apache-2.0
//
// What is read of /proc and /sys: one text in the place of each file, since all readers must take any.
#include <algorithm>

#include "tests/fuzz/input_tree.h"
#include "tests/fuzz/require.h"
#include "userspace/app/target.h"
#include "userspace/host/capabilities.h"
#include "userspace/host/kernel_settings.h"
#include "userspace/host/tcp_state.h"

using namespace sonde;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    static const fuzz::InputTree tree(
        {"/proc/self/status", "/proc/7/status", "/proc/7/comm", "/proc/self/mounts", "/proc/self/net/netstat",
         "/proc/self/net/tcp", "/proc/self/net/tcp6", "/proc/sys/kernel/osrelease", "/proc/sys/kernel/pid_max",
         "/proc/sys/kernel/perf_event_paranoid", "/proc/sys/net/core/bpf_jit_enable",
         "/proc/sys/net/core/bpf_jit_harden", "/sys/kernel/security/lockdown", "/sys/devices/system/cpu/possible"});
    static const RootedFs fs(tree.root());
    tree.set(data, size);
    const std::string text(reinterpret_cast<const char*>(data), size);
    require(*fs.read("/proc/7/comm") == text, "the text is what is read");
    require(fs.read_line("/proc/7/comm")->find('\n') == std::string::npos, "a line is one line");
    const Result<Capabilities> capabilities = read_capabilities(fs);
    require(!capabilities || capabilities->missing_for_tracing().size() <= 2, "two capabilities may be missing");
    const KernelSettings settings = read_kernel_settings(fs);
    require(settings.possible_cpus >= 1 && settings.possible_cpus <= 65536, "a number of CPUs");
    const Result<std::string> mount = find_cgroup2_mount(fs);
    require(!mount || text.find(*mount) != std::string::npos, "a mount is one of those listed");
    require(std::ranges::is_sorted(listening_ports(fs, {"self"})), "ports ascend");
    ListenQueueMeter meter(fs, {"self"});
    require(meter.read(fs).overflows == 0, "nothing grows by itself");
    require(process_named(fs, "geth") == (text == "geth\n"), "a name is the whole of comm");
    require(!target_pid(fs, 7) || text.find("\nTgid:") != std::string::npos, "a process has a Tgid");
    return 0;
}
