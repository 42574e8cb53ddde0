// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "userspace/host/capabilities.h"
#include "userspace/host/kernel_settings.h"
#include "userspace/host/process.h"
#include "userspace/host/process_count.h"
#include "userspace/host/tcp_state.h"

namespace sonde {
namespace {

using Strings = std::vector<std::string>;
using Ports = std::vector<uint16_t>;

class HostTest : public testing::Test {
  protected:
    void SetUp() override
    {
        std::string pattern = testing::TempDir() + "/sonde_host_XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        root_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(root_); }

    [[nodiscard]] RootedFs fs() const { return RootedFs(root_); }
    void write(const std::string& path, const std::string& text)
    {
        std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
        std::ofstream(root_ + path, std::ios::binary) << text;
    }
    // A process in a network namespace: those of one namespace have one netstat file.
    void add_process(const std::string& pid, const std::string& namespace_name)
    {
        write("/" + namespace_name, "");
        std::filesystem::create_directories(root_ + "/proc/" + pid + "/net");
        std::filesystem::create_hard_link(root_ + "/" + namespace_name, root_ + "/proc/" + pid + "/net/netstat");
    }

    std::string root_;
};

TEST_F(HostTest, LockdownIsTheWordInBrackets)
{
    for (const std::string mode : {"none", "integrity", "confidentiality"}) {
        std::string line = "none integrity confidentiality\n";
        line.replace(line.find(mode), mode.size(), "[" + mode + "]");
        write("/sys/kernel/security/lockdown", line);
        EXPECT_EQ(read_kernel_settings(fs()).lockdown, mode);
    }
    write("/sys/kernel/security/lockdown", "something new\n");
    EXPECT_EQ(read_kernel_settings(fs()).lockdown, "something new");
}

TEST_F(HostTest, WithoutALockdownFileSecurityfsTellsWhy)
{
    EXPECT_TRUE(read_kernel_settings(fs()).lockdown.starts_with("unknown"));
    write("/sys/kernel/security/lsm", "capability,yama\n");
    EXPECT_TRUE(read_kernel_settings(fs()).lockdown.starts_with("none"));
}

TEST_F(HostTest, TheJitIsOffOnOrHardened)
{
    write("/proc/sys/net/core/bpf_jit_enable", "0\n");
    EXPECT_TRUE(read_kernel_settings(fs()).jit.starts_with("off"));
    for (const char* enabled : {"1\n", "2\n"}) {  // 2 also writes to the kernel's log
        write("/proc/sys/net/core/bpf_jit_enable", enabled);
        for (const char* harden : {"0\n", "1\n"}) {  // 1 is for unprivileged users only
            write("/proc/sys/net/core/bpf_jit_harden", harden);
            EXPECT_EQ(read_kernel_settings(fs()).jit, "on");
        }
        write("/proc/sys/net/core/bpf_jit_harden", "2\n");
        EXPECT_TRUE(read_kernel_settings(fs()).jit.starts_with("on, hardened"));
    }
    std::filesystem::remove(root_ + "/proc/sys/net/core/bpf_jit_harden");
    EXPECT_EQ(read_kernel_settings(fs()).jit, "on");
}

TEST_F(HostTest, CgroupVersionsComeFromTheMounts)
{
    const std::string root = "/dev/vda / ext4 rw 0 0\nproc /proc proc rw 0 0\n";
    const std::string v1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n";
    const std::string v2 = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0\n";
    const auto cgroup = [&](const std::string& mounts) {
        write("/proc/self/mounts", mounts);
        return read_kernel_settings(fs()).cgroup;
    };
    EXPECT_TRUE(cgroup(root).starts_with("none"));
    EXPECT_FALSE(find_cgroup2_mount(fs()));
    EXPECT_TRUE(cgroup(root + v1).starts_with("v1:"));
    EXPECT_EQ(find_cgroup2_mount(fs()).error().code, ENOENT);
    EXPECT_EQ(cgroup(root + v2), "v2");
    EXPECT_EQ(*find_cgroup2_mount(fs()), "/sys/fs/cgroup/unified");
    EXPECT_TRUE(cgroup(root + v1 + v2).starts_with("v1 and v2"));
    EXPECT_EQ(*find_cgroup2_mount(fs()), "/sys/fs/cgroup/unified");
}

TEST_F(HostTest, PossibleCpusAreOneMoreThanTheHighestNumber)
{
    const std::pair<const char*, uint32_t> cases[] = {{"0", 1},     {"0-3", 4},          {"0-3,8", 9},
                                                      {"1,3,5", 6}, {"0-7,64-127", 128}, {"0-65535", 65536}};
    for (const auto& [list, count] : cases) {
        const Result<uint32_t> cpus = parse_cpu_count(list);
        ASSERT_TRUE(cpus) << list;
        EXPECT_EQ(*cpus, count) << list;
        write("/sys/devices/system/cpu/possible", std::string(list) + "\n");
        EXPECT_EQ(read_kernel_settings(fs()).possible_cpus, count) << list;
    }
    for (const char* list : {"", "none", "0-", "0-3,", "0-3x", "0-3 ", "0-65536", "0-99999999999"}) {
        const Result<uint32_t> cpus = parse_cpu_count(list);
        ASSERT_FALSE(cpus) << list;
        EXPECT_NE(cpus.error().what.find(std::string("'") + list + "'"), std::string::npos);
        write("/sys/devices/system/cpu/possible", std::string(list) + "\n");
        EXPECT_EQ(read_kernel_settings(fs()).possible_cpus, 1U) << list;
    }
}

TEST_F(HostTest, PlainSettingsAreTakenAsTheyAre)
{
    write("/proc/sys/kernel/osrelease", "6.1.0-rc1+\n");
    write("/proc/sys/kernel/perf_event_paranoid", "-1\n");
    write("/proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
    write("/proc/sys/kernel/pid_max", "4194304\n");
    const KernelSettings settings = read_kernel_settings(fs());
    EXPECT_EQ(settings.release, "6.1.0-rc1+");
    EXPECT_EQ(settings.perf_event_paranoid, "-1");
    EXPECT_EQ(settings.unprivileged_bpf_disabled, "2");
    EXPECT_EQ(settings.pid_max, 4194304U);
}

TEST_F(HostTest, WhatIsMissingIsUnknownOrTheKernelsDefault)
{
    const KernelSettings settings = read_kernel_settings(fs());
    for (const std::string& text : {settings.release, settings.lockdown, settings.jit, settings.cgroup,
                                    settings.perf_event_paranoid, settings.unprivileged_bpf_disabled}) {
        EXPECT_TRUE(text.starts_with("unknown (")) << text;
    }
    EXPECT_EQ(settings.pid_max, 32768U);
    EXPECT_EQ(settings.possible_cpus, 1U);
    EXPECT_EQ(read_capabilities(fs()).error().code, ENOENT);
    EXPECT_EQ(network_namespaces(fs()), Strings{"self"});
    EXPECT_EQ(listening_ports(fs(), {"self", "1"}), Ports());
    EXPECT_EQ(count_processes(fs()), 0U);
}

// Bits of include/uapi/linux/capability.h: CAP_SYS_ADMIN 21, CAP_PERFMON 38, CAP_BPF 39.
TEST_F(HostTest, CapabilitiesDecideWhatIsMissing)
{
    struct Case {
        const char* effective;
        Strings missing;
        Strings present;
    };
    const Case cases[] = {{"0000000000000000", {"CAP_BPF", "CAP_PERFMON"}, {}},
                          {"0000008000000000", {"CAP_PERFMON"}, {"CAP_BPF"}},
                          {"0000004000000000", {"CAP_BPF"}, {"CAP_PERFMON"}},
                          {"000000c000000000", {}, {"CAP_BPF", "CAP_PERFMON"}},
                          {"0000000000200000", {}, {"CAP_SYS_ADMIN"}},
                          {"0000000000001000", {"CAP_BPF", "CAP_PERFMON"}, {"CAP_NET_ADMIN"}},
                          {"ffffff3fffdfffff",
                           {"CAP_BPF", "CAP_PERFMON"},
                           {"CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_SYS_RESOURCE"}}};
    for (const Case& c : cases) {
        write("/proc/self/status", std::string("Name:\tsonde\nCapInh:\tffffffffffffffff\nCapPrm:\tffffffffffffffff\n"
                                               "CapEff:\t") +
                                       c.effective + "\nCapBnd:\tffffffffffffffff\n");
        const Result<Capabilities> capabilities = read_capabilities(fs());
        ASSERT_TRUE(capabilities) << capabilities.error().what;
        EXPECT_EQ(capabilities->missing_for_tracing(), c.missing) << c.effective;
        EXPECT_EQ(capabilities->present(), c.present) << c.effective;
    }
    for (const char* status : {"", "Name:\tsonde\n", "CapEff:\t", "CapEff:\tnone\n", "CapEff:\t10000000000000000\n"}) {
        write("/proc/self/status", status);
        ASSERT_FALSE(read_capabilities(fs())) << status;
        EXPECT_EQ(read_capabilities(fs()).error().code, EINVAL) << status;
    }
}

const std::string kTcpHeader = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n";

TEST_F(HostTest, ListeningPortsAreThoseInStateListen)
{
    write("/proc/self/net/tcp", kTcpHeader +
                                    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n"
                                    "   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n"
                                    "   2: 0100007F:0050 0100007F:C350 01 00000000:00000000 00:00000000 00000000\n"
                                    "   3: 0100007F:0051 0100007F:000A 06 00000000:00000000 00:00000000 00000000\n");
    const std::string any = "00000000000000000000000000000000";
    write("/proc/self/net/tcp6", kTcpHeader + "   0: " + any + ":0016 " + any + ":0000 0A 00000000:00000000\n" +
                                     "   1: " + any + ":FFFF " + any + ":0000 0A 00000000:00000000\n");
    EXPECT_EQ(listening_ports(fs(), {"self"}), (Ports{22, 8080, 65535}));
    std::filesystem::remove(root_ + "/proc/self/net/tcp");  // a namespace with IPv6 only
    EXPECT_EQ(listening_ports(fs(), {"self"}), (Ports{22, 65535}));
}

TEST_F(HostTest, GarbageInTheTableOfSocketsIsPassedOver)
{
    write("/proc/self/net/tcp", kTcpHeader +
                                    "\n\n   0: nocolon 00000000:0000 0A\n   1: 0100007F: 00000000:0000 0A\n"
                                    "   2: 0100007F:zz 00000000:0000 0A\n   3: 0100007F:1FFFF x:0 0A\n"
                                    "0A\n\xff\xfe 0A 0A 0A\n   4: 0100007F:0035\n"
                                    "   5: 0100007F:1F90 00000000:0000 0A");  // without a newline
    EXPECT_EQ(listening_ports(fs(), {"self"}), Ports{8080});
    write("/proc/self/net/tcp", "");
    EXPECT_EQ(listening_ports(fs(), {"self"}), Ports());
}

TEST_F(HostTest, OneProcessStandsForEachNetworkNamespace)
{
    add_process("self", "100");
    add_process("1", "100");
    add_process("20", "200");
    add_process("21", "200");
    add_process("30", "300");
    add_process("thread-self", "400");
    write("/proc/40/comm", "gone: no net/netstat\n");
    Strings pids = network_namespaces(fs());
    ASSERT_EQ(pids.size(), 3U);
    EXPECT_EQ(pids[0], "self");
    std::sort(pids.begin() + 1, pids.end());
    EXPECT_TRUE(pids[1] == "20" || pids[1] == "21") << pids[1];
    EXPECT_EQ(pids[2], "30");
    EXPECT_EQ(count_processes(fs()), 5U);

    const std::string listen = ":0000 0A\n";
    write("/proc/self/net/tcp", kTcpHeader + "0: 00000000:0016 00000000" + listen);
    write("/proc/" + pids[1] + "/net/tcp", kTcpHeader + "0: 00000000:0050 00000000" + listen);
    write("/proc/30/net/tcp6", kTcpHeader + "0: 00000000:0016 00000000" + listen + "1: 00000000:0051 0" + listen);
    EXPECT_EQ(listening_ports(fs(), pids), (Ports{22, 80, 81}));
}

TEST_F(HostTest, ListenQueueCountersAreFoundInAnyColumnAndAdded)
{
    const std::string other = "IpExt: InNoRoutes ListenOverflows\nIpExt: 7 1000\n";
    write("/proc/self/net/netstat", "TcpExt: ListenOverflows SyncookiesSent ListenDrops\nTcpExt: 3 9 5\n" + other);
    write("/proc/20/net/netstat", other + "TcpExt: A B ListenDrops ListenOverflows\nTcpExt: 1 1 70 40\n");
    write("/proc/30/net/netstat", "TcpExt: A ListenDrops\nTcpExt: 1 600\n");               // no such column
    write("/proc/40/net/netstat", "TcpExt: ListenOverflows ListenDrops\nTcpExt: 1000\n");  // cut short
    write("/proc/50/net/netstat", "TcpExt: ListenOverflows ListenDrops\n");
    write("/proc/60/net/netstat", "TcpExt: ListenOverflows ListenDrops\nTcpExt: x 18446744073709551616\n");
    ListenQueueMeter meter(fs(), {"self", "20", "30", "40", "50", "60", "gone"});
    EXPECT_EQ(meter.read(fs()).overflows, 0U);

    write("/proc/self/net/netstat", "TcpExt: ListenOverflows SyncookiesSent ListenDrops\nTcpExt: 10 9 15\n" + other);
    write("/proc/30/net/netstat", "TcpExt: A ListenDrops\nTcpExt: 1 601\n");
    EXPECT_EQ(meter.read(fs()).overflows, 7U);
    EXPECT_EQ(meter.read(fs()).drops, 10U + 1);

    // A namespace that goes takes nothing away; a pid that comes again stands for another namespace.
    std::filesystem::remove_all(fs().resolve("/proc/self"));
    EXPECT_EQ(meter.read(fs()).overflows, 7U);
    write("/proc/20/net/netstat", "TcpExt: A B ListenDrops ListenOverflows\nTcpExt: 1 1 2 1\n");
    EXPECT_EQ(meter.read(fs()).overflows, 7U);
    write("/proc/20/net/netstat", "TcpExt: A B ListenDrops ListenOverflows\nTcpExt: 1 1 2 5\n");
    EXPECT_EQ(meter.read(fs()).overflows, 7U + 4);
}

TEST_F(HostTest, AProcessSaysWhatItIs)
{
    write("/proc/7/comm", "ge th\n");
    write("/proc/7/stat", "7 (ge) th) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 4711 1000 200\n");
    write("/proc/7/cmdline", std::string("/usr/bin/geth\0--dev\0", 20));
    write("/proc/7/cgroup", "12:cpu:/other\n1:name=systemd:/system.slice/geth.service\n0::/unified\n");
    write("/proc/7/task/7/comm", "ge th\n");
    write("/proc/7/task/9/comm", "worker\n");
    std::filesystem::create_symlink("/usr/bin/geth (deleted)", root_ + "/proc/7/exe");
    const Result<ProcessInfo> process = read_process(fs(), 7);
    ASSERT_TRUE(process) << process.error().what;
    EXPECT_EQ(process->comm, "ge th");
    EXPECT_EQ(process->start_ticks, 4711U);
    EXPECT_EQ(process->executable, "/usr/bin/geth");
    EXPECT_TRUE(process->executable_replaced);
    EXPECT_EQ(process->command, (Strings{"/usr/bin/geth", "--dev"}));
    EXPECT_EQ(cgroup_owner(process->cgroup), "geth.service");
    Strings threads = thread_names(fs(), 7);
    std::sort(threads.begin(), threads.end());
    EXPECT_EQ(threads, (Strings{"ge th", "worker"}));
    EXPECT_EQ(read_process(fs(), 8).error().code, ESRCH);
    EXPECT_EQ(process_ids(fs()).operator*(), std::vector<pid_t>{7});
}

TEST(CgroupOwner, IsAUnitOrAContainer)
{
    const std::string id(64, 'a');
    const std::string shown(12, 'a');
    EXPECT_EQ(cgroup_owner("/"), "");
    EXPECT_EQ(cgroup_owner("/user.slice/user-0.slice/session-1.scope"), "");
    EXPECT_EQ(cgroup_owner("/system.slice/geth.service/sub"), "geth.service");
    EXPECT_EQ(cgroup_owner("/system.slice/docker-" + id + ".scope"), "docker " + shown);
    EXPECT_EQ(cgroup_owner("/docker/" + id), "docker " + shown);
    EXPECT_EQ(cgroup_owner("/machine.slice/libpod-" + id + ".scope/container"), "podman " + shown);
    EXPECT_EQ(cgroup_owner("/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope"), "pod " + shown);
    EXPECT_EQ(cgroup_owner("/system.slice/docker-" + std::string(64, 'g') + ".scope"), "");
}

TEST_F(HostTest, TheListeningPortsOfOneProcess)
{
    const std::string head =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    const auto line = [](const std::string& port, const std::string& state, int inode) {
        return "   0: 0100007F:" + port + " 00000000:0000 " + state +
               " 00000000:00000000 00:00000000 00000000     0        0 " + std::to_string(inode) +
               " 1 0000000000000000 100 0 0 10 0\n";
    };
    write("/proc/7/net/tcp", head + line("2161", "0A", 11) + line("2162", "0A", 12) + line("2163", "01", 13));
    std::filesystem::create_directories(root_ + "/proc/7/fd");
    for (const auto& [fd, to] :
         {std::pair{"3", "socket:[11]"}, std::pair{"4", "socket:[13]"}, std::pair{"5", "/dev/null"}}) {
        std::filesystem::create_symlink(to, root_ + "/proc/7/fd/" + fd);
    }
    EXPECT_EQ(ports_of_process(fs(), 7), Ports{0x2161});
    EXPECT_EQ(ports_of_process(fs(), 8), Ports{});
}

}  // namespace
}  // namespace sonde
