// SPDX-License-Identifier: Apache-2.0
//
// What a thread waits for: each kind of wait that sonde-load can do, and nothing else, must show as its reason.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <ostream>
#include <string>
#include <vector>

#include "tests/kernel/block_devices.h"
#include "tests/kernel/load_run.h"
#include "tests/kernel/tracer.h"
#include "userspace/host/kernel_settings.h"

namespace sonde::test {
namespace {

using nlohmann::json;

struct Wait {
    friend void PrintTo(const Wait& wait, std::ostream* out) { *out << wait.name; }

    std::string name;
    std::vector<std::string> arguments;
    std::string reason;
    std::string reason_raw;  // where the hooks cannot tell more; empty: that depends on the kernel
    bool disk = false;
};

std::vector<Wait> waits()
{
    const std::vector<std::string> five_ms{"--usec", "5000", "--seconds", "0.4"};
    const auto fed = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.end(), five_ms.begin(), five_ms.end());
        return arguments;
    };
    return {
        {"Sleep", fed({"sleep"}), "sleep", "other"},
        {"Futex", fed({"futex"}), "lock", "other"},
        {"Recv", fed({"recv"}), "network", "other"},
        {"RecvUnix", fed({"recv", "--unix"}), "network", "other"},
        {"ReadPipe", fed({"read-pipe"}), "other", "other"},
        {"Epoll", fed({"poll"}), "network", "other"},
        {"IoUring", fed({"ring"}), "other", ""},  // an iowait since 6.5
        {"DirectRead", {"direct-read", "--seconds", "0.4"}, "disk", "disk", true},
        {"Fsync", {"fsync", "--overwrite", "--seconds", "0.4"}, "disk", "disk", true},
        {"MmapFault", {"mmap-fault", "--seconds", "0.4"}, "fault", "disk", true},
    };
}

class OffCpu : public KernelTest, public ::testing::WithParamInterface<Wait> {
  protected:
    struct Measured {
        json truth;
        Snapshot snapshot;
    };

    static void SetUpTestSuite() { disk_ = std::make_unique<ScratchDisk>(); }
    static void TearDownTestSuite() { disk_.reset(); }

    void SetUp() override
    {
        KernelTest::SetUp();
        if (GetParam().disk && !disk_->usable()) {
            GTEST_SKIP() << "needs a disk: TMPDIR is in memory and SONDE_TEST_DISK is not set";
        }
    }

    // Only the task with this name counts: helpers that feed it have another.
    [[nodiscard]] Measured measure(const Wait& wait) const
    {
        const std::string name = fresh_name();
        std::vector<std::string> arguments = wait.arguments;
        arguments.insert(arguments.end(), {"--comm", name});
        if (wait.disk) {
            arguments.insert(arguments.end(), {"--file", disk_->path()});
        }
        TracerConfig config;
        config.filter = comm_filter(name);
        config.hooks = hooks();
        arguments.emplace_back("--ready");
        LoadRun load(arguments);
        Tracer tracer(config);
        load.release();
        load.wait_ready();  // its start is not part of the load
        Snapshot before = tracer.read();
        Measured measured;
        measured.truth = load.report();
        measured.snapshot = advance(before, tracer.stop());
        return measured;
    }

    static inline std::unique_ptr<ScratchDisk> disk_;
};

INSTANTIATE_TEST_SUITE_P(, OffCpu, ::testing::ValuesIn(waits()),
                         [](const ::testing::TestParamInfo<Wait>& wait) { return wait.param.name; });

// Of the tasks that bear the traced name.
double truth_s(const json& truth, const std::string& field)
{
    double total = 0;
    for (const json& task : truth["tasks"]) {
        if (task["role"] != "feeder") {
            total += task[field].get<double>() / 1e9;
        }
    }
    return total;
}

TEST_P(OffCpu, HasTheRightReason)
{
    const Measured load = measure(GetParam());
    const double all = seconds(histogram(load.snapshot, kOffCpu, {}));
    const double right = seconds(histogram(load.snapshot, kOffCpu, {{"reason", GetParam().reason}}));
    EXPECT_GE(right, 0.95 * all);

    // The load's clock around its blocking calls sees the wait and the computing in these calls; the kernel's CPU
    // time covers all computing, and some of the time between wakeup and running. The truth is between them.
    const double elapsed = truth_s(load.truth, "elapsed_ns");
    const double waited = all + seconds(histogram(load.snapshot, kRunQueue, {}));
    const double slack = 0.03 * elapsed + 0.01 + startup_s();
    ASSERT_GT(waited, 0.01);
    EXPECT_LE(waited, truth_s(load.truth, "blocked_ns") + slack);
    EXPECT_GE(waited, elapsed - truth_s(load.truth, "cpu_ns") - slack);
    EXPECT_NEAR(waited + seconds(histogram(load.snapshot, kOnCpu, {})), elapsed, slack);
}

class OffCpuRaw : public OffCpu {
    [[nodiscard]] Hooks hooks() const override { return Hooks::kRaw; }
};

std::vector<Wait> waits_raw()
{
    std::vector<Wait> all = waits();
    std::erase_if(all, [](const Wait& wait) { return wait.reason_raw.empty(); });
    return all;
}

INSTANTIATE_TEST_SUITE_P(, OffCpuRaw, ::testing::ValuesIn(waits_raw()),
                         [](const ::testing::TestParamInfo<Wait>& wait) { return wait.param.name; });

TEST_P(OffCpuRaw, OnlyDiskIsToldApart)
{
    const Measured load = measure(GetParam());
    const double all = seconds(histogram(load.snapshot, kOffCpu, {}));
    ASSERT_GT(all, 0.01);
    EXPECT_GE(seconds(histogram(load.snapshot, kOffCpu, {{"reason", GetParam().reason_raw}})), 0.9 * all);
    EXPECT_EQ(status_of_measurement(load.snapshot, "off-CPU time").state, ProbeState::kDegraded);
}

// A process that this one forks has, with ThreadSanitizer, a thread that only sleeps.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SONDE_CHILDREN_SLEEP true
#endif
#endif
#ifndef SONDE_CHILDREN_SLEEP
#define SONDE_CHILDREN_SLEEP false
#endif

class OffCpuOfRead : public KernelTest {};

// What read() waits for depends on the descriptor.
TEST_F(OffCpuOfRead, IsNetworkForASocketAndOtherForAPipe)
{
    constexpr int kReads = 40;
    for (const bool is_socket : {true, false}) {
        std::array<int, 2> fds{};
        ASSERT_EQ(
            is_socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) : pipe2(fds.data(), O_CLOEXEC),
            0);
        const UniqueFd reader(fds[0]);
        const UniqueFd writer(fds[1]);
        Tracer tracer({.filter = comm_filter("read-test")});
        const pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_NAME, "read-test");
            char byte = 0;
            for (int i = 0; i < kReads; ++i) {
                (void)!read(reader.get(), &byte, 1);
            }
            _exit(0);
        }
        for (int i = 0; i < kReads; ++i) {
            usleep(1000);
            ASSERT_EQ(write(writer.get(), "x", 1), 1);
        }
        waitpid(child, nullptr, 0);
        const Snapshot snapshot = tracer.stop();
        const double sleeps = SONDE_CHILDREN_SLEEP ? seconds(histogram(snapshot, kOffCpu, {{"reason", "sleep"}})) : 0;
        const double all = seconds(histogram(snapshot, kOffCpu, {})) - sleeps;
        // Where the descriptor cannot be looked at, which sonde says: lockdown refuses bpf_probe_read_kernel.
        const bool degraded = status_of_measurement(snapshot, "off-CPU time").state == ProbeState::kDegraded;
        EXPECT_EQ(degraded, read_kernel_settings(RootedFs()).lockdown == "confidentiality");
        const std::string reason = is_socket && !degraded ? "network" : "other";
        EXPECT_GE(seconds(histogram(snapshot, kOffCpu, {{"reason", reason}})), 0.95 * all) << reason;
        EXPECT_GE(histogram(snapshot, kOffCpu, {{"reason", reason}}).count(), kReads / 2U) << reason;
    }
}

}  // namespace
}  // namespace sonde::test
