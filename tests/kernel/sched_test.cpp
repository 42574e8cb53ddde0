// SPDX-License-Identifier: Apache-2.0
//
// Run-queue latency, its causes, and on-CPU time, for each way in which the state of a task can be kept.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/kernel/load_run.h"
#include "tests/kernel/sched_variant.h"
#include "tests/kernel/tracer.h"

namespace sonde::test {
namespace {

using nlohmann::json;

// A load of this name, on one CPU or several; what it measured and what was measured of it.

class Sched : public KernelTest, public ::testing::WithParamInterface<SchedVariant> {
  protected:
    struct Measured {
        json truth;
        Snapshot snapshot;
        double life_s = 0;
        double cpu_s = 0;
        double slack_s = 0;  // start, end, and what the hypervisor took

        [[nodiscard]] Histogram run_queue(const std::string& cause) const
        {
            return histogram(snapshot, kRunQueue, {{"process", name}, {"cause", cause}});
        }
        [[nodiscard]] Histogram all(const std::string& metric) const
        {
            return histogram(snapshot, metric, {{"process", name}});
        }
        std::string name;
    };

    [[nodiscard]] Hooks hooks() const override { return GetParam().hooks; }
    static Measured measure(std::vector<std::string> arguments, const Place& place = {})
    {
        Measured measured;
        measured.name = fresh_name();
        arguments.insert(arguments.end(), {"--comm", measured.name});
        const uint64_t stolen_before = stolen_ns();
        Tracer tracer(GetParam().config());
        LoadRun load(arguments, place);
        load.release();
        measured.truth = load.report();
        measured.snapshot = tracer.stop();
        measured.life_s = static_cast<double>(load.life_ns()) / 1e9;
        measured.cpu_s = load.cpu_s();
        measured.slack_s = startup_s() + static_cast<double>(stolen_ns() - stolen_before) / 1e9;
        return measured;
    }
};

INSTANTIATE_TEST_SUITE_P(, Sched, ::testing::ValuesIn(sched_variants()), name_of_variant);

bool is_near(double measured, double truth, double share, double slack)
{
    return std::abs(measured - truth) <= share * truth + slack;
}

TEST_P(Sched, TwoSpinnersOnOneCpuWaitForEachOther)
{
    const Measured spin = measure_complete(
        [] {
            return measure({"spin", "--threads", "2", "--cpu", "0", "--seconds", "0.6"});
        },
        [](const Measured& each) {
            return is_near(seconds(each.run_queue("preempted")), not_running_s(each.truth), 0.03, each.slack_s);
        });
    const Histogram preempted = spin.run_queue("preempted");
    const double truth = not_running_s(spin.truth);
    ASSERT_GT(truth, 0.4);  // half of 2 x 0.6 s, and the load itself says so
    EXPECT_NEAR(seconds(preempted), truth, 0.03 * truth + spin.slack_s);
    EXPECT_GT(mean_ns(preempted), 0.5e6);  // a time slice is some milliseconds
    EXPECT_LT(seconds(spin.run_queue("woken")), 0.1 * truth);
    EXPECT_EQ(spin.run_queue("throttled").count(), 0U);
}

TEST_P(Sched, TwoSpinnersOnTwoCpusDoNotWait)
{
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        GTEST_SKIP() << "needs a second CPU";
    }
    const Measured spin = measure_complete(
        [] {
            return measure({"spin", "--threads", "2", "--cpus", "0,1", "--seconds", "0.3"}, {.nice = -20});
        },
        [](const Measured& each) {
            return is_near(seconds(each.all(kRunQueue)), not_running_s(each.truth), 0.05, each.slack_s);
        });
    const double truth = not_running_s(spin.truth);  // a millisecond, but for what else runs on this host
    EXPECT_NEAR(seconds(spin.all(kRunQueue)), truth, 0.05 * truth + spin.slack_s);
}

TEST_P(Sched, EveryBlockOfAPingPongIsOneOffCpuTimeAndOneWakeup)
{
    const Measured pipe = measure({"pipe", "--cpu", "0", "--count", amount(20'000)});
    const auto blocks = pipe.truth["voluntary_switches"].get<double>();
    const auto preemptions = pipe.truth["involuntary_switches"].get<double>();
    const auto round_trips = pipe.truth["count"].get<double>();
    // Beyond what the two tasks count: start, exit, and the parent that waits for both.
    constexpr double kEnds = 40;
    EXPECT_NEAR(static_cast<double>(pipe.run_queue("woken").count()), blocks, kEnds);
    EXPECT_NEAR(static_cast<double>(pipe.all(kOffCpu).count()), blocks, kEnds);
    EXPECT_NEAR(static_cast<double>(pipe.run_queue("preempted").count()), preemptions, kEnds);
    EXPECT_NEAR(static_cast<double>(pipe.all(kOnCpu).count()), blocks + preemptions, 2 * kEnds);
    // On one CPU each message is handed over by exactly one switch, voluntary or not.
    EXPECT_NEAR(static_cast<double>(pipe.all(kOnCpu).count()), 2 * round_trips, 0.02 * round_trips + 2 * kEnds);
}

TEST_P(Sched, OnCpuTimeIsTheCpuTimeOfTheProcess)
{
    const Measured spin = measure_complete(
        [] {
            return measure({"spin", "--threads", "1", "--seconds", "0.4"});
        },
        [](const Measured& each) { return is_near(seconds(each.all(kOnCpu)), each.cpu_s, 0.02, each.slack_s); });
    ASSERT_GT(spin.cpu_s, 0.05);
    EXPECT_NEAR(seconds(spin.all(kOnCpu)), spin.cpu_s, 0.02 * spin.cpu_s + spin.slack_s);
}

TEST_P(Sched, ThreeStatesTogetherAreTheWallTimeOfAllThreads)
{
    struct Case {
        std::vector<std::string> arguments;
        size_t worker;  // the task that is not the leader
    };
    const std::vector<Case> cases{{{"futex", "--usec", "1000", "--seconds", "0.5"}, 1},
                                  {{"spin", "--threads", "1", "--seconds", "0.5"}, 0}};
    for (const Case& each : cases) {
        const auto sum = [](const Measured& load) {
            return seconds(load.all(kRunQueue)) + seconds(load.all(kOnCpu)) + seconds(load.all(kOffCpu));
        };
        const auto wall = [&](const Measured& load) {
            return load.life_s + load.truth["tasks"][each.worker]["elapsed_ns"].get<double>() / 1e9;
        };
        const Measured load = measure_complete(
            [&] { return measure(each.arguments); },
            [&](const Measured& measured) { return is_near(sum(measured), wall(measured), 0.02, measured.slack_s); });
        EXPECT_NEAR(sum(load), wall(load), 0.02 * wall(load) + load.slack_s) << each.arguments.front();
    }
}

TEST_P(Sched, NothingIsDiscardedOfAProcessThatLivesWithinTheSession)
{
    const Measured pipe = measure_complete(
        [] {
            return measure({"pipe", "--count", amount(4'000)});
        },
        [](const Measured& m) { return m.all(kOnCpu).count() == m.all(kRunQueue).count(); });
    const std::string measurement = "run-queue latency";
    for (const char* reason : {"no memory for task state", "pid collision", "clock went backward", "wakeup not seen",
                               "interrupted program"}) {
        EXPECT_EQ(discarded(pipe.snapshot, measurement, reason), 0U) << reason;
    }
    // What runs begins once and ends once.
    EXPECT_EQ(pipe.all(kOnCpu).count(), pipe.all(kRunQueue).count());
}

}  // namespace
}  // namespace sonde::test
