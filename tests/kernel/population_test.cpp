// SPDX-License-Identifier: Apache-2.0
//
// Many processes: each is counted, under its right name, and gives back what it used.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/kernel/load_run.h"
#include "tests/kernel/sched_variant.h"
#include "tests/kernel/tracer.h"

namespace sonde::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

class Population : public KernelTest, public ::testing::WithParamInterface<SchedVariant> {
    [[nodiscard]] Hooks hooks() const override { return GetParam().hooks; }
};

INSTANTIATE_TEST_SUITE_P(, Population, ::testing::ValuesIn(sched_variants()), name_of_variant);

const Labels kForked{{"process", "load-fork"}};  // the children of load `forks` name themselves so

struct Forks {
    uint64_t forks = 0;
    Snapshot snapshot;

    [[nodiscard]] uint64_t woken() const
    {
        return histogram(snapshot, kRunQueue, {{"process", "load-fork"}, {"cause", "woken"}}).count();
    }
    [[nodiscard]] uint64_t count(const std::string& metric) const
    {
        return histogram(snapshot, metric, kForked).count();
    }
    // Whole lives: as many beginnings to run as ends; one wakeup for the birth and one for each block.
    [[nodiscard]] bool complete() const
    {
        return count(kRunQueue) == count(kOnCpu) && woken() == forks + count(kOffCpu);
    }
};

Forks measure_forks(const TracerConfig& config, const std::vector<std::string>& arguments, milliseconds interval)
{
    Tracer tracer(config);
    LoadRun load(arguments);
    load.release();
    Forks measured;
    measured.forks = load.report(interval, [&] { tracer.maintain(); })["count"].get<uint64_t>();
    for (int i = 0; i < 3; ++i) {
        tracer.maintain();
    }
    measured.snapshot = tracer.stop();
    return measured;
}

TEST_P(Population, EveryShortLivedProcessIsCounted)
{
    const Forks load = measure_complete(
        [] {
            return measure_forks(GetParam().config(), {"forks", "--rate", "500", "--count", amount(300)},
                                 milliseconds(200));
        },
        [](const Forks& each) { return each.complete(); });
    EXPECT_EQ(load.count(kRunQueue), load.count(kOnCpu)) << describe(load.snapshot);
    EXPECT_EQ(load.woken(), load.forks + load.count(kOffCpu)) << describe(load.snapshot);
}

TEST_P(Population, SlotsOfEndedProcessesAreUsedAgain)
{
    TracerConfig config = GetParam().config();
    config.processes = 400;  // fewer than there will be processes, more than live at the same time
    const Forks load = measure_forks(config, {"forks", "--rate", "500", "--count", "600"}, milliseconds(20));
    constexpr double kUnreported = 6;  // by the kernel, see measure_complete
    EXPECT_NEAR(static_cast<double>(load.woken()), static_cast<double>(load.forks + load.count(kOffCpu)), kUnreported);
    EXPECT_EQ(histogram(load.snapshot, kOnCpu, {{"process", "other"}}).count(), 0U);
    EXPECT_FALSE(status_of_measurement(load.snapshot, "on-CPU time").reason.starts_with("too many"));
}

TEST_P(Population, WithoutFreeSlotsEventsGoToOther)
{
    TracerConfig config = GetParam().config();
    config.processes = 2;  // "other" and one more
    Tracer tracer(config);
    const json truth = run_load({"forks", "--rate", "500", "--count", "50"});
    const Snapshot snapshot = tracer.stop();
    EXPECT_GE(histogram(snapshot, kRunQueue, {{"process", "other"}}).count(), truth["count"].get<uint64_t>());
    EXPECT_EQ(status_of_measurement(snapshot, "on-CPU time").state, ProbeState::kDegraded);
}

TEST_P(Population, KernelThreadsOfAllCpusShareAName)
{
    Tracer tracer(GetParam().config());
    const auto seen = [&tracer] {
        usleep(20'000);  // timers and their workers run meanwhile
        return values_of(tracer.read(), kRunQueue, "process").contains("kworker");
    };
    ASSERT_TRUE(poll_until(seen)) << "no kworker ran";
    for (const std::string& name : values_of(tracer.stop(), "sonde_sched_", "process")) {
        EXPECT_FALSE(name.starts_with("kworker") && name != "kworker") << name;
    }
}

TEST_P(Population, AProcessShowsUnderTheNameThatExecGaveIt)
{
    TracerConfig config = GetParam().config();
    config.by_pid = true;
    Tracer tracer(config);
    LoadRun load({"sleep", "--count", "20", "--comm", "renamed"}, {.via = {"env"}});  // this program, env, renamed
    const std::string pid = std::to_string(load.pid());
    load.release();
    load.report();
    const Snapshot snapshot = tracer.stop();
    EXPECT_GE(histogram(snapshot, kOffCpu, {{"process", "renamed"}, {"pid", pid}}).count(), 15U);  // of 20 sleeps
    EXPECT_EQ(histogram(snapshot, kOnCpu, {{"pid", pid}}), histogram(snapshot, kOnCpu, {{"process", "renamed"}}));
}

// A first turn on the CPU that is still going on, undisturbed: the wait for it is counted already.
TEST_P(Population, AProcessHasItsNameFromItsFirstNumberOn)
{
    constexpr uint64_t kTurnNs = 30'000'000;
    Tracer tracer(GetParam().config());
    for (int i = 0; i < 5; ++i) {
        sched_param realtime{};
        realtime.sched_priority = 1;
        ASSERT_EQ(sched_setscheduler(0, SCHED_FIFO, &realtime), 0);
        const pid_t child = fork();
        if (child == 0) {
            for (const uint64_t end = monotonic_ns() + kTurnNs; monotonic_ns() < end;) {
            }
            pause();
        }
        usleep(1000);
        const Snapshot snapshot = tracer.read();
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        const sched_param normal{};
        sched_setscheduler(0, SCHED_OTHER, &normal);
        EXPECT_FALSE(values_of(snapshot, "sonde_sched_", "process").contains("")) << describe(snapshot);
    }
}

// Counters of a series only grow (exporters and intervals rely on it), also when a process takes another name.
TEST_P(Population, ARenameTakesNothingFromTheSeriesOfTheOldName)
{
    constexpr int kSleeps = 100;
    const std::string old_name = fresh_name();
    const auto spawn = [&old_name](bool renames) {
        const pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            prctl(PR_SET_NAME, old_name.c_str());
            for (int i = 0; i < kSleeps && renames; ++i) {
                usleep(100);
            }
            raise(SIGSTOP);
            prctl(PR_SET_NAME, "renamed");
            usleep(100);
            raise(SIGSTOP);
        }
        waitpid(child, nullptr, WUNTRACED);
        return child;
    };
    Tracer tracer(GetParam().config());
    const pid_t stays = spawn(false);
    const pid_t renamed = spawn(true);
    const Snapshot before = tracer.read();
    kill(renamed, SIGCONT);
    waitpid(renamed, nullptr, WUNTRACED);
    const Snapshot after = tracer.read();
    for (const pid_t child : {stays, renamed}) {
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
    }
    const Labels old_series{{"process", old_name}};
    // Where the CPU is emulated or taken away, the time may be over before the thread sleeps.
    ASSERT_GE(histogram(before, kOnCpu, old_series).count(), kSleeps * 9 / 10);
    EXPECT_GE(histogram(after, kOnCpu, old_series).count(), histogram(before, kOnCpu, old_series).count());
    EXPECT_GE(histogram(after, kOnCpu, {{"process", "renamed"}}).count(), 1U);
    Snapshot shown = before;
    EXPECT_LT(histogram(advance(shown, after), kOnCpu, old_series).count(), kSleeps / 2);
}

TEST_P(Population, AThreadCountsForItsProcessWhateverItCallsItself)
{
    Tracer tracer(GetParam().config());
    constexpr uint64_t kSleeps = 30;
    std::thread thread([] {
        prctl(PR_SET_NAME, "thread-of-mine");
        for (uint64_t i = 0; i < kSleeps; ++i) {
            usleep(100);
        }
    });
    thread.join();
    const Snapshot snapshot = tracer.stop();
    EXPECT_FALSE(values_of(snapshot, "sonde_sched_", "process").contains("thread-of-mine"));
    char mine[16] = {};
    prctl(PR_GET_NAME, mine);
    const Histogram blocks = histogram(snapshot, kOffCpu, {{"process", mine}});
    EXPECT_GE(blocks.count(), slow_machine() ? kSleeps * 9 / 10 : kSleeps);
}

// exec in another thread than the leader: the thread takes the leader's pid.
TEST_P(Population, ExecInASecondThreadKeepsTheProcess)
{
    TracerConfig config = GetParam().config();
    config.by_pid = true;
    Tracer tracer(config);
    const pid_t child = fork();
    if (child == 0) {
        std::thread second([] { execlp("sleep", "sleep", "0.2", static_cast<char*>(nullptr)); });
        pause();
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    tracer.maintain();
    const Snapshot snapshot = tracer.stop();
    const Labels sleeper{{"process", "sleep"}, {"pid", std::to_string(child)}};
    EXPECT_NEAR(seconds(histogram(snapshot, kOffCpu, sleeper)), 0.2, 0.1);
    EXPECT_EQ(discarded(snapshot, "on-CPU time", "pid collision"), 0U);
}

// Whether the leader's last switch comes before or after the thread takes its pid, nothing keeps the slot.
TEST_P(Population, ExecInASecondThreadGivesItsSlotBack)
{
    TracerConfig config = GetParam().config();
    config.processes = 200;  // for those that are alive on the machine; one more each for what is not given back
    const int children = slow_machine() ? 250 : 500;
    Tracer tracer(config);
    for (int i = 0; i < children; ++i) {
        const pid_t child = fork();
        if (child == 0) {
            std::thread second([] { execlp("true", "true", static_cast<char*>(nullptr)); });
            pause();
        }
        int status = 0;
        waitpid(child, &status, 0);
        ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        if (i % 10 == 0) {
            tracer.maintain();
        }
    }
    const Snapshot snapshot = tracer.stop();
    EXPECT_EQ(histogram(snapshot, kOnCpu, {{"process", "other"}}).count(), 0U);
    EXPECT_FALSE(status_of_measurement(snapshot, "on-CPU time").reason.starts_with("too many"));
    EXPECT_GE(histogram(snapshot, kOnCpu, {{"process", "true"}}).count(), static_cast<uint64_t>(children));
}

}  // namespace
}  // namespace sonde::test
