// SPDX-License-Identifier: Apache-2.0
//
// Functions of a process: each call is timed once, whatever way it ends, and the process computes what it would
// without. The process is a child of this one, so that its program is this one.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csetjmp>
#include <cstddef>
#include <fstream>
#include <functional>
#include <new>
#include <thread>

#include "tests/fixtures/traced.h"
#include "tests/kernel/load_run.h"
#include "tests/kernel/tracer.h"
#include "userspace/app/call_targets.h"
#include "userspace/probes/uprobe_links.h"

namespace {
volatile int sink = 0;
std::jmp_buf escape;
}  // namespace

TRACED void sonde_test_sleeps(long ns)
{
    const timespec time{0, ns};
    nanosleep(&time, nullptr);
    sink = sink + 1;
}

TRACED long sonde_test_recurses(long n)
{
    const long rest = n <= 1 ? 0 : sonde_test_recurses(n - 1);
    sink = sink + 1;
    return rest + n;
}

TRACED void sonde_test_may_escape(int n)
{
    if (n % 2 == 0) {
        std::longjmp(escape, 1);
    }
    sink = sink + 1;
}

#if defined(__x86_64__)
// Keeps a number below the stack pointer, as leaf functions do; the second begins with a
// five-byte nop. The third may end in another function, which is told by its jump.
asm(R"(
    .text
    .globl sonde_test_red_zone, sonde_test_nop5, sonde_test_jumps
    .type sonde_test_red_zone, @function
sonde_test_red_zone:
    mov %rdi, -8(%rsp)
    nop
    mov -8(%rsp), %rax
    lea 1(%rax), %rax
    ret
    .size sonde_test_red_zone, .-sonde_test_red_zone
    .type sonde_test_nop5, @function
sonde_test_nop5:
    .byte 0x0f, 0x1f, 0x44, 0, 0
    mov %rdi, -8(%rsp)
    mov -8(%rsp), %rax
    lea 1(%rax), %rax
    ret
    .size sonde_test_nop5, .-sonde_test_nop5
    .type sonde_test_jumps, @function
sonde_test_jumps:
    test %rdi, %rdi
    je 1f
    jmp sonde_test_red_zone
1:  xor %eax, %eax
    ret
    .size sonde_test_jumps, .-sonde_test_jumps
)");
extern "C" long sonde_test_red_zone(long n);
extern "C" long sonde_test_nop5(long n);
extern "C" long sonde_test_jumps(long n);
#endif

namespace sonde::test {
namespace {

constexpr uint64_t kMs = 1'000'000;

uint64_t now_ns()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Does its work when it is told to. What it notes is in memory that is shared with the test.
class Traced {
  public:
    struct Notes {
        uint64_t time_ns = 0;  // all calls, by its own clock
        long result = 0;
        long sleeps = 0;
        uint64_t longest_ns = 0;
    };

    explicit Traced(const std::function<void(Notes&)>& work)
        : notes_(new (mmap(nullptr, sizeof(Notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Notes())
    {
        pid_ = fork();
        if (pid_ == 0) {
            raise(SIGSTOP);
            work(*notes_);
            raise(SIGSTOP);
            _exit(0);
        }
        waitpid(pid_, nullptr, WUNTRACED);
    }
    ~Traced()
    {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        munmap(notes_, sizeof(Notes));
    }
    Traced(const Traced&) = delete;
    Traced& operator=(const Traced&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    // Until it has done its work; false if it died of it.
    [[nodiscard]] bool run(const std::function<void()>& meanwhile = {}) const
    {
        kill(pid_, SIGCONT);
        int status = 0;
        while (waitpid(pid_, &status, WUNTRACED | WNOHANG) == 0) {
            usleep(1000);
            if (meanwhile) {
                meanwhile();
            }
        }
        return WIFSTOPPED(status);
    }
    [[nodiscard]] const Notes& notes() const { return *notes_; }
    // The bytes of its program at this function.
    [[nodiscard]] std::string code(const void* function, size_t size) const
    {
        std::ifstream memory("/proc/" + std::to_string(pid_) + "/mem", std::ios::binary);
        std::string bytes(size, '\0');
        memory.seekg(static_cast<std::streamoff>(reinterpret_cast<uintptr_t>(function)));
        memory.read(bytes.data(), static_cast<std::streamsize>(size));
        return bytes;
    }

  private:
    Notes* notes_;
    pid_t pid_ = 0;
};

class ClientCalls : public KernelTest {
  protected:
    [[nodiscard]] static std::unique_ptr<ClientProbe> attached(const Traced& traced, const std::string& pattern,
                                                               const CallLimits& limits = {})
    {
        const Result<CallTargets> found = find_call_targets({{std::to_string(traced.pid()), pattern}}, RootedFs());
        if (!found) {
            throw std::runtime_error(found.error().what);
        }
        const Result<KernelFeatures> features = KernelFeatures::probe("");
        Result<std::unique_ptr<ClientProbe>> probe = load_client_probe(found->targets, *features, limits);
        if (!probe) {
            throw std::runtime_error(probe.error().what);
        }
        if (Status status = (*probe)->attach(); !status) {
            throw std::runtime_error(status.error().what);
        }
        return std::move(*probe);
    }
    [[nodiscard]] static Snapshot read(ClientProbe& probe)
    {
        Snapshot snapshot;
        const Status status = probe.read(snapshot);
        EXPECT_TRUE(status) << status.error().what;
        return snapshot;
    }
    [[nodiscard]] static Histogram calls(const Snapshot& snapshot, const std::string& call)
    {
        for (const HistogramSeries& series : snapshot.histograms) {
            if (series.labels.at("call") == call) {
                return series.histogram;
            }
        }
        return {};
    }
};

TEST_F(ClientCalls, EachIsTimedOnce)
{
    constexpr int kCalls = 200;
    const Traced traced([](Traced::Notes& notes) {
        for (int i = 0; i < kCalls; ++i) {
            const uint64_t from = now_ns();
            sonde_test_sleeps(2 * kMs);
            notes.time_ns += now_ns() - from;
        }
    });
    const auto probe = attached(traced, "sonde_test_sleeps");
    ASSERT_TRUE(traced.run());
    probe->detach();
    const Snapshot snapshot = read(*probe);
    const Histogram h = calls(snapshot, "sonde_test_sleeps");
    EXPECT_EQ(h.count(), static_cast<uint64_t>(kCalls));
    EXPECT_GE(h.min_ns, 2 * kMs);
    // Its own clock runs on while the probes do their work.
    EXPECT_LE(h.sum_ns, traced.notes().time_ns);
    EXPECT_GE(static_cast<double>(h.sum_ns), 0.9 * static_cast<double>(traced.notes().time_ns));
    ASSERT_EQ(snapshot.probes.size(), 1U);
    EXPECT_EQ(snapshot.probes[0].events, static_cast<uint64_t>(kCalls));
    EXPECT_EQ(snapshot.probes[0].discarded, (std::map<std::string, uint64_t>()));
    EXPECT_EQ(snapshot.probes[0].state, ProbeState::kOk) << snapshot.probes[0].reason;
}

TEST_F(ClientCalls, RecursionIsTimedCallByCall)
{
    constexpr int kDepth = 20, kRounds = 50;
    const Traced traced([](Traced::Notes& notes) {
        for (int i = 0; i < kRounds; ++i) {
            notes.result += sonde_test_recurses(kDepth);
        }
    });
    const auto probe = attached(traced, "sonde_test_recurses");
    ASSERT_TRUE(traced.run());
    const Histogram h = calls(read(*probe), "sonde_test_recurses");
    EXPECT_EQ(h.count(), static_cast<uint64_t>(kDepth * kRounds));
    EXPECT_EQ(traced.notes().result, kRounds * kDepth * (kDepth + 1) / 2);
    // The outermost contains all others.
    EXPECT_GT(h.max_ns, 5 * h.min_ns);
}

TEST_F(ClientCalls, WhatEndsWithoutAReturnTakesNothingFromWhatReturns)
{
    constexpr int kCalls = 400;
    const Traced traced([](Traced::Notes&) {
        static int i;  // not in a register, which longjmp would set back
        for (i = 0; i < kCalls; ++i) {
            if (setjmp(escape) == 0) {
                sonde_test_may_escape(i);
            }
        }
    });
    const auto probe = attached(traced, "sonde_test_may_escape");
    ASSERT_TRUE(traced.run());
    const Snapshot snapshot = read(*probe);
    EXPECT_EQ(calls(snapshot, "sonde_test_may_escape").count(), static_cast<uint64_t>(kCalls / 2));
    EXPECT_EQ(snapshot.probes[0].events, static_cast<uint64_t>(kCalls));
    ASSERT_EQ(snapshot.probes[0].discarded.size(), 1U);
    EXPECT_EQ(snapshot.probes[0].discarded.begin()->first.find("not seen returning"), 0U);
    EXPECT_EQ(snapshot.probes[0].discarded.begin()->second, static_cast<uint64_t>(kCalls / 2));
}

TEST_F(ClientCalls, NoneIsSaid)
{
    const Traced traced([](Traced::Notes&) {});
    const auto probe = attached(traced, "sonde_test_sleeps");
    ASSERT_TRUE(traced.run());
    probe->detach();
    const Snapshot snapshot = read(*probe);
    EXPECT_EQ(snapshot.probes[0].state, ProbeState::kDegraded);
    EXPECT_EQ(snapshot.probes[0].reason, "attached, but not called so far: sonde_test_sleeps");
}

TEST_F(ClientCalls, TooManyAreLetGoAndTheOthersStayRight)
{
    const Traced traced([](Traced::Notes& notes) {
        for (const uint64_t end = now_ns() + 3000 * kMs; now_ns() < end;) {
            for (int i = 0; i < 200; ++i) {
                notes.result += sonde_test_recurses(1);
            }
            const uint64_t from = now_ns();
            sonde_test_sleeps(1 * kMs);
            notes.longest_ns = std::max(notes.longest_ns, now_ns() - from);
            ++notes.sleeps;
        }
    });
    const auto probe = attached(traced, "sonde_test_*s", {.calls_per_second = 1000, .budget = 0});  // both
    ASSERT_TRUE(traced.run([&probe] { probe->maintain(); }));
    const Snapshot snapshot = read(*probe);
    EXPECT_EQ(snapshot.probes[0].reason.find("let go, called too often: sonde_test_recurses ("), 0U)
        << snapshot.probes[0].reason;
    EXPECT_LT(calls(snapshot, "sonde_test_recurses").count(), static_cast<uint64_t>(traced.notes().result) / 2);
    // The moment in which none is seen makes no call of all that it hides.
    const Histogram sleeps = calls(snapshot, "sonde_test_sleeps");
    EXPECT_GT(sleeps.count(), static_cast<uint64_t>(traced.notes().sleeps) / 2);
    EXPECT_LE(sleeps.count(), static_cast<uint64_t>(traced.notes().sleeps));
    EXPECT_LE(sleeps.max_ns, traced.notes().longest_ns);
}

TEST_F(ClientCalls, TheDearestAreLetGoForTheBudget)
{
    const Traced traced([](Traced::Notes& notes) {
        for (const uint64_t end = now_ns() + 3000 * kMs; now_ns() < end;) {
            for (int i = 0; i < 200; ++i) {
                notes.result += sonde_test_recurses(1);
            }
            sonde_test_sleeps(1 * kMs);
            ++notes.sleeps;
        }
    });
    const auto probe = attached(traced, "sonde_test_*s", {.calls_per_second = UINT64_MAX, .budget = 0.05});
    ASSERT_TRUE(traced.run([&probe] { probe->maintain(); }));
    const Snapshot snapshot = read(*probe);
    const std::string& reason = snapshot.probes[0].reason;
    EXPECT_EQ(reason.find("let go, over the budget of 5% of a CPU for each process: sonde_test_recurses ("), 0U)
        << reason;
    EXPECT_EQ(reason.find("sonde_test_sleeps"), std::string::npos) << reason;
    EXPECT_LT(calls(snapshot, "sonde_test_recurses").count(), static_cast<uint64_t>(traced.notes().result) / 2);
    EXPECT_GT(calls(snapshot, "sonde_test_sleeps").count(), static_cast<uint64_t>(traced.notes().sleeps) / 2);
}

// Two processes of one name share a series; what is counted in one that has ended stays.
TEST_F(ClientCalls, ProcessesThatComeAndGoAreCountedTogether)
{
    const auto work = [](Traced::Notes&) {
        for (int i = 0; i < 50; ++i) {
            sonde_test_sleeps(kMs);
        }
    };
    auto first = std::make_unique<Traced>(work);
    const auto probe = attached(*first, "sonde_test_sleeps");
    ASSERT_TRUE(first->run());
    first.reset();  // it ends
    const Traced second(work);
    Result<CallTargets> found = find_call_targets({{std::to_string(second.pid()), "sonde_test_sleeps"}}, RootedFs());
    ASSERT_TRUE(found) << found.error().what;
    ASSERT_TRUE(probe->add(found->targets.at(0)));
    ASSERT_TRUE(probe->add(found->targets.at(0))) << "it is there already";
    ASSERT_TRUE(second.run([&probe] { probe->maintain(); }));
    const Snapshot snapshot = read(*probe);
    EXPECT_EQ(snapshot.histograms.size(), 1U);
    EXPECT_EQ(calls(snapshot, "sonde_test_sleeps").count(), 100U);
    EXPECT_EQ(snapshot.probes[0].events, 100U);
    EXPECT_EQ(snapshot.probes[0].discarded, (std::map<std::string, uint64_t>()));
    for (int i = 0; i < 100 && probe->extent().processes > 1; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        probe->maintain();
    }
    EXPECT_EQ(probe->extent().processes, 1U) << "of a process that has ended nothing is left";
}

TEST_F(ClientCalls, WhatIsUnderWayIsShown)
{
    const Traced traced([](Traced::Notes&) { sonde_test_sleeps(300 * kMs); });
    const auto probe = attached(traced, "sonde_test_sleeps");
    double in_flight = 0, longest_s = 0;
    ASSERT_TRUE(traced.run([&] {
        for (const GaugeSeries& gauge : read(*probe).gauges) {
            double& most = gauge.name == kClientInFlight ? in_flight : longest_s;
            most = std::max(most, gauge.value);
        }
    }));
    EXPECT_EQ(in_flight, 1);
    EXPECT_GT(longest_s, 0.02);
    EXPECT_LT(longest_s, 1.0);
    EXPECT_TRUE(read(*probe).gauges.empty());
}

TEST_F(ClientCalls, AreLeftAsTheyWereWhenTracingEnds)
{
    const Traced traced([](Traced::Notes&) { sonde_test_sleeps(1000); });
    const auto* function = reinterpret_cast<const void*>(&sonde_test_sleeps);
    const std::string before = traced.code(function, 16);
    auto probe = attached(traced, "sonde_test_sleeps");
    ASSERT_TRUE(traced.run());
    EXPECT_NE(traced.code(function, 16), before);
    probe.reset();
    EXPECT_EQ(traced.code(function, 16), before);
}

TEST_F(ClientCalls, OfAProgramThatIsAnotherByNowAreRefused)
{
    const Traced traced([](Traced::Notes&) { sonde_test_sleeps(1000); });
    Result<CallTargets> found = find_call_targets({{std::to_string(traced.pid()), "sonde_test_sleeps"}}, RootedFs());
    ASSERT_TRUE(found) << found.error().what;
    found->targets.at(0).file.mtime_ns -= 1;
    const Result<KernelFeatures> features = KernelFeatures::probe("");
    const auto probe = load_client_probe(found->targets, *features);
    ASSERT_TRUE(probe) << probe.error().what;
    const Status status = (*probe)->attach();
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().what.find("its program has changed"), std::string::npos) << status.error().what;
    ASSERT_TRUE(traced.run());
    EXPECT_TRUE(read(**probe).histograms.empty());
}

#if defined(__x86_64__)
TEST_F(ClientCalls, WhatAFunctionKeepsBelowTheStackPointerStays)
{
    constexpr long kCalls = 1000;
    const Traced traced([](Traced::Notes& notes) {
        for (long i = 0; i < kCalls; ++i) {
            notes.result += sonde_test_red_zone(i) == i + 1 ? 1 : 0;
        }
    });
    const auto probe = attached(traced, "sonde_test_red_zone");
    ASSERT_TRUE(traced.run());
    EXPECT_EQ(traced.notes().result, kCalls);
    EXPECT_EQ(calls(read(*probe), "sonde_test_red_zone").count(), static_cast<uint64_t>(kCalls));
}

TEST_F(ClientCalls, AFiveByteNopIsLetAloneWhereTheKernelWouldCorruptTheRedZone)
{
    constexpr long kCalls = 1000;
    const Traced traced([](Traced::Notes& notes) {
        for (long i = 0; i < kCalls; ++i) {
            notes.result += sonde_test_nop5(i) == i + 1 ? 1 : 0;
        }
    });
    const Result<KernelFeatures> features = KernelFeatures::probe("");
    ASSERT_TRUE(features);
    if (features->function_args.contains("arch_uprobe_optimize")) {
        try {
            (void)attached(traced, "sonde_test_nop5");
            ADD_FAILURE() << "attached";
        } catch (const std::runtime_error& error) {
            EXPECT_NE(std::string(error.what()).find("five-byte nop"), std::string::npos) << error.what();
        }
        ASSERT_TRUE(traced.run());
    } else {
        const auto probe = attached(traced, "sonde_test_nop5");
        ASSERT_TRUE(traced.run());
        EXPECT_EQ(calls(read(*probe), "sonde_test_nop5").count(), static_cast<uint64_t>(kCalls));
    }
    EXPECT_EQ(traced.notes().result, kCalls);
}

TEST_F(ClientCalls, AFunctionThatMayEndInAnotherIsLetAloneInAProgramWithExceptions)
{
    const Traced traced([](Traced::Notes& notes) { notes.result = sonde_test_jumps(1); });
    const Result<CallTargets> found =
        find_call_targets({{std::to_string(traced.pid()), "sonde_test_jumps"}}, RootedFs());
    ASSERT_FALSE(found);
    EXPECT_NE(found.error().what.find("a return probe could end the process"), std::string::npos) << found.error().what;
}

// One that allows itself little: it sets its filter up when the probes are there already.
TEST_F(ClientCalls, AProcessMayFilterItsSystemCallsLater)
{
    constexpr long kCalls = 100;
    const Traced traced([](Traced::Notes& notes) {
        // No system call but those that were known when this was written.
        constexpr unsigned kKnown = 334;
        sock_filter filter[] = {
            {.code = BPF_LD | BPF_W | BPF_ABS, .jt = 0, .jf = 0, .k = offsetof(seccomp_data, nr)},
            {.code = BPF_JMP | BPF_JGT | BPF_K, .jt = 0, .jf = 1, .k = kKnown},
            {.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = SECCOMP_RET_KILL_PROCESS},
            {.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = SECCOMP_RET_ALLOW},
        };
        const sock_fprog program{4, filter};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
        for (long i = 0; i < kCalls; ++i) {
            notes.result += sonde_test_red_zone(i);
        }
    });
    Result<CallTargets> found = find_call_targets({{std::to_string(traced.pid()), "sonde_test_red_zone"}}, RootedFs());
    ASSERT_TRUE(found) << found.error().what;
    found->targets.at(0).calls.at(0).copies.at(0).return_probe = true;  // as in a program without exceptions
    const Result<KernelFeatures> features = KernelFeatures::probe("");
    const auto probe = load_client_probe(found->targets, *features);
    ASSERT_TRUE(probe) << probe.error().what;
    ASSERT_TRUE((*probe)->attach());
    ASSERT_TRUE(traced.run()) << "it was killed";
    EXPECT_EQ(calls(read(**probe), "sonde_test_red_zone").count(), static_cast<uint64_t>(kCalls));
}

TEST_F(ClientCalls, AReturnProbeTimesEachCall)
{
    constexpr long kCalls = 1000;
    const Traced traced([](Traced::Notes& notes) {
        for (long i = 0; i < kCalls; ++i) {
            notes.result += sonde_test_red_zone(i);
        }
    });
    Result<CallTargets> found = find_call_targets({{std::to_string(traced.pid()), "sonde_test_red_zone"}}, RootedFs());
    ASSERT_TRUE(found) << found.error().what;
    CallSites& sites = found->targets.at(0).calls.at(0).copies.at(0);
    sites.ends.clear();
    sites.return_probe = true;
    const Result<KernelFeatures> features = KernelFeatures::probe("");
    // A filter for system calls forbids it where the kernel returns by one and asks the filter.
    found->targets.at(0).seccomp = true;
    const auto confined = load_client_probe(found->targets, *features);
    ASSERT_TRUE(confined) << confined.error().what;
    const bool forbidden = features->function_args.contains("__x64_sys_uretprobe") && filters_see_return_probes();
    EXPECT_EQ(static_cast<bool>((*confined)->attach()), !forbidden);
    (*confined)->detach();
    found->targets.at(0).seccomp = false;
    const auto probe = load_client_probe(found->targets, *features);
    ASSERT_TRUE(probe) << probe.error().what;
    ASSERT_TRUE((*probe)->attach());
    ASSERT_TRUE(traced.run());
    EXPECT_EQ(calls(read(**probe), "sonde_test_red_zone").count(), static_cast<uint64_t>(kCalls));
    EXPECT_EQ(traced.notes().result, kCalls * (kCalls - 1) / 2 + kCalls);
}
#endif

}  // namespace
}  // namespace sonde::test
