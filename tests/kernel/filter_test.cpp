// SPDX-License-Identifier: Apache-2.0
//
// Filters: of two loads of the same kind only the wanted one is counted, and completely.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "tests/kernel/block_devices.h"
#include "tests/kernel/cgroup_folder.h"
#include "tests/kernel/load_run.h"
#include "tests/kernel/tracer.h"
#include "userspace/app/target.h"

namespace sonde::test {
namespace {

using nlohmann::json;

struct FilterCase {
    friend void PrintTo(const FilterCase& each, std::ostream* out) { *out << each.name; }

    std::string name;
    sonde_filter_kind kind;
    Hooks hooks;
};

std::vector<FilterCase> filter_cases()
{
    std::vector<FilterCase> cases;
    for (const Hooks hooks : {Hooks::kBest, Hooks::kRaw}) {
        const std::string suffix = hooks == Hooks::kRaw ? "Raw" : "";
        cases.push_back({"Process" + suffix, SONDE_FILTER_PROCESS, hooks});
        cases.push_back({"Comm" + suffix, SONDE_FILTER_COMM, hooks});
        cases.push_back({"Cgroup" + suffix, SONDE_FILTER_CGROUP, hooks});
        cases.push_back({"Tree" + suffix, SONDE_FILTER_TREE, hooks});
    }
    return cases;
}

class Filter : public KernelTest, public ::testing::WithParamInterface<FilterCase> {
  protected:
    struct Measured {
        json wanted;
        json other;
        Snapshot snapshot;
    };

    Filter() : cgroup_(CgroupFolder::make_v2()) {}

    [[nodiscard]] Hooks hooks() const override { return GetParam().hooks; }

    void SetUp() override
    {
        KernelTest::SetUp();
        if (GetParam().kind == SONDE_FILTER_CGROUP && !cgroup_.usable()) {
            GTEST_SKIP() << "needs cgroup v2";
        }
    }

    template <class IsComplete>
    Measured measure(ProbeKind probe, const std::vector<std::string>& arguments, IsComplete is_complete)
    {
        return measure_complete([&] { return measure(probe, arguments); }, is_complete);
    }

    // Runs the load twice at the same time; the filter wants the first one.
    Measured measure(ProbeKind probe, const std::vector<std::string>& arguments)
    {
        const auto named = [&](const std::string& name) {
            std::vector<std::string> all = arguments;
            all.insert(all.end(), {"--comm", name});
            return all;
        };
        LoadRun wanted(named(name_), {.cgroup = cgroup_.path()});
        LoadRun other(named(fresh_name()));
        TracerConfig config;
        config.probe = probe;
        config.hooks = GetParam().hooks;
        config.filter = filter(wanted.pid());
        Tracer tracer(config);
        if (config.filter.kind == SONDE_FILTER_TREE) {
            tracer.follow(wanted.pid());
        }
        wanted.release();
        other.release();
        Measured measured;
        measured.wanted = wanted.report();
        measured.other = other.report();
        measured.snapshot = tracer.stop();
        return measured;
    }

    [[nodiscard]] TaskFilter filter(pid_t pid) const
    {
        TaskFilter filter;
        filter.kind = GetParam().kind;
        filter.tgid = pid;
        filter.comm = name_;
        if (filter.kind == SONDE_FILTER_CGROUP) {
            filter = *target_cgroup(RootedFs(), cgroup_.path());
        }
        return filter;
    }

    // Does the filter also want the children of the load's first process, which have another name?
    [[nodiscard]] bool wants_children() const
    {
        return GetParam().kind == SONDE_FILTER_CGROUP || GetParam().kind == SONDE_FILTER_TREE;
    }

    CgroupFolder cgroup_;
    std::string name_ = fresh_name();
};

INSTANTIATE_TEST_SUITE_P(, Filter, ::testing::ValuesIn(filter_cases()),
                         [](const ::testing::TestParamInfo<FilterCase>& each) { return each.param.name; });

TEST_P(Filter, OnlyTheWantedProcessShows)
{
    const Measured load =
        measure(ProbeKind::kSched, {"sleep", "--usec", "1000", "--count", "100"}, [](const Measured& each) {
            return histogram(each.snapshot, kOffCpu, {}).count() >= (slow_machine() ? 95U : 100U);
        });
    EXPECT_EQ(values_of(load.snapshot, "sonde_sched_", "process"), std::set<std::string>{name_});
    const uint64_t blocks = histogram(load.snapshot, kOffCpu, {}).count();
    // An emulated CPU may be so late that the time is over before the thread sleeps.
    EXPECT_GE(blocks, slow_machine() ? 95U : 100U) << describe(load.snapshot);
    EXPECT_LE(blocks, 140U);  // and its start and end
}

TEST_P(Filter, ChildrenShowWhereTheFilterWantsThem)
{
    const Measured load = measure(ProbeKind::kSched, {"forks", "--rate", "500", "--count", "50"});
    std::set<std::string> expected{name_};
    if (wants_children()) {
        expected.insert("load-fork");
    }
    EXPECT_EQ(values_of(load.snapshot, "sonde_sched_", "process"), expected);
    if (wants_children()) {
        const Labels children{{"process", "load-fork"}};
        EXPECT_GE(histogram(load.snapshot, kRunQueue, children).count(), 49U);
    }
}

TEST_P(Filter, OnlyTheRequestsOfTheWantedProcessAreCounted)
{
    const LoopDevice loop;
    const Measured load =
        measure(ProbeKind::kBlock, {"direct-read", "--file", loop.path(), "--count", "500"}, [](const Measured& each) {
            return histogram(each.snapshot, kBlockLatency, {{"stage", "device"}}).count() == each.wanted["count"];
        });
    EXPECT_EQ(histogram(load.snapshot, kBlockLatency, {{"stage", "total"}}).count(),
              load.wanted["count"].get<uint64_t>());
    EXPECT_EQ(counter(load.snapshot, kBlockBytes, {}), load.wanted["bytes"].get<uint64_t>());
    EXPECT_EQ(histogram(load.snapshot, kBlockLatency, {{"stage", "device"}}).count(),
              load.wanted["count"].get<uint64_t>());
}

TEST_P(Filter, OnlyTheConnectionsOfTheWantedProcessAreCounted)
{
    const Measured load = measure(ProbeKind::kTcp, {"tcp-rr", "--count", "500"});
    const std::string port = std::to_string(load.wanted["server_port"].get<int>());
    constexpr double kLostPerSide = 4;  // until the owner is known
    EXPECT_NEAR(static_cast<double>(histogram(load.snapshot, kRtt, {{"port", "ephemeral"}}).count()), 500,
                kLostPerSide);
    EXPECT_NEAR(static_cast<double>(histogram(load.snapshot, kRtt, {{"port", port}}).count()),
                wants_children() ? 500 : 0, kLostPerSide);
    EXPECT_EQ(histogram(load.snapshot, kConnect, {}).count(), 1U);
    EXPECT_EQ(histogram(load.snapshot, kConnect, {{"port", port}}).count(), 1U);
    const std::string other_port = std::to_string(load.other["server_port"].get<int>());
    EXPECT_FALSE(values_of(load.snapshot, "sonde_tcp_", "port").contains(other_port));
}

TEST_P(Filter, OnlyTheConnectsAndAcceptsOfTheWantedProcessAreCounted)
{
    const auto all_connects = [](const Measured& each) {
        return histogram(each.snapshot, kConnect, {}).count() == each.wanted["count"];
    };
    const Measured load = measure(ProbeKind::kTcp, {"tcp-connect", "--count", "50"}, all_connects);
    EXPECT_EQ(histogram(load.snapshot, kConnect, {}).count(), load.wanted["count"].get<uint64_t>());
    // Its server is a child of the process.
    EXPECT_EQ(histogram(load.snapshot, kAccept, {}).count(),
              wants_children() ? load.wanted["count"].get<uint64_t>() : 0U);
}

TEST_P(Filter, OnlyTheRefusedConnectsOfTheWantedProcessAreCounted)
{
    const Measured load = measure(ProbeKind::kTcp, {"tcp-connect", "--refused", "--count", "50"});
    EXPECT_EQ(counter(load.snapshot, "sonde_tcp_connect_failures_total", {}), load.wanted["refused"].get<uint64_t>());
}

class CgroupFilter : public KernelTest {};

TEST_F(CgroupFilter, FollowsAProcessThatMovesInAndOut)
{
    const CgroupFolder cgroup = CgroupFolder::make_v2();
    const CgroupFolder elsewhere = CgroupFolder::make_v2();
    if (!cgroup.usable()) {
        GTEST_SKIP() << "needs cgroup v2";
    }
    LoadRun load({"sleep", "--usec", "1000", "--seconds", "60", "--ready"});
    load.release();
    load.wait_ready();
    Tracer tracer({.filter = *target_cgroup(RootedFs(), cgroup.path())});
    const auto blocks = [&tracer] { return histogram(tracer.read(), kOffCpu, {}).count(); };
    usleep(20'000);
    EXPECT_EQ(blocks(), 0U);
    cgroup.enter(load.pid());
    EXPECT_TRUE(poll_until([&] { return blocks() > 10; }));
    elsewhere.enter(load.pid());
    usleep(20'000);  // its next switch
    const uint64_t after = blocks();
    usleep(50'000);
    EXPECT_EQ(blocks(), after);
    load.signal(SIGTERM);
    load.report();
}

// The socket bears the cgroup in which it was made; what is read from it belongs to the process where that is now.
TEST_F(CgroupFilter, AProcessBringsItsSocketsAlong)
{
    const CgroupFolder cgroup = CgroupFolder::make_v2();
    if (!cgroup.usable()) {
        GTEST_SKIP() << "needs cgroup v2";
    }
    LoadRun load({"tcp-rr", "--count", "200", "--existing-delay", "20000"});
    load.release();
    load.wait_ready();
    cgroup.enter(load.pid());
    Tracer tracer({.probe = ProbeKind::kTcp, .filter = *target_cgroup(RootedFs(), cgroup.path())});
    load.signal(SIGUSR1);
    load.report();
    const Snapshot snapshot = tracer.stop();
    uint64_t samples = 0;
    for (const HistogramSeries& series : snapshot.histograms) {
        samples += series.name == kRtt ? series.histogram.count() : 0;
    }
    EXPECT_GT(samples, 100U) << describe(snapshot);
}

TEST_F(CgroupFilter, WantsWhatIsInFoldersBelow)
{
    const CgroupFolder cgroup = CgroupFolder::make_v2();
    if (!cgroup.usable()) {
        GTEST_SKIP() << "needs cgroup v2";
    }
    const CgroupFolder below(cgroup.path(), "below");
    const std::string name = fresh_name();
    constexpr uint64_t kSleeps = 20;
    const auto once = [&] {
        Tracer tracer({.filter = *target_cgroup(RootedFs(), cgroup.path())});
        run_load({"sleep", "--usec", "1000", "--count", std::to_string(kSleeps), "--comm", name},
                 {.cgroup = below.path()});
        return tracer.stop();
    };
    const Snapshot snapshot = measure_complete(
        once, [](const Snapshot& measured) { return histogram(measured, kOffCpu, {}).count() >= kSleeps; });
    EXPECT_EQ(values_of(snapshot, "sonde_sched_", "process"), std::set<std::string>{name});
    EXPECT_GE(histogram(snapshot, kOffCpu, {}).count(), kSleeps);
}

class CommFilter : public KernelTest {};

TEST_F(CommFilter, LetsGoOfAProcessThatTakesAnotherName)
{
    const std::string name = fresh_name();
    Tracer tracer({.filter = comm_filter(name)});
    // A shell of that name, which then becomes a load of another name.
    LoadRun load({"sleep", "--usec", "1000", "--count", "50", "--comm", "other-name"},
                 {.via = {"sh", "-c", "printf %s " + name + " >/proc/$$/comm; sleep 0.05; exec \"$@\"", "sh"}});
    load.release();
    load.report();
    const Snapshot snapshot = tracer.stop();
    EXPECT_FALSE(values_of(snapshot, "sonde_sched_", "process").contains("sonde-load"));
    EXPECT_LT(histogram(snapshot, kOffCpu, {}).count(), 40U);
    EXPECT_GT(histogram(snapshot, kOffCpu, {}).count(), 0U);
}

}  // namespace
}  // namespace sonde::test
