// SPDX-License-Identifier: Apache-2.0
//
// A CPU quota that holds a process back shows as the cause "throttled", and nothing else does.
#include <gtest/gtest.h>

#include "tests/kernel/cgroup_folder.h"
#include "tests/kernel/load_run.h"
#include "tests/kernel/sched_variant.h"
#include "tests/kernel/tracer.h"

namespace sonde::test {
namespace {

using nlohmann::json;

class Throttle : public KernelTest, public ::testing::WithParamInterface<SchedVariant> {
    [[nodiscard]] Hooks hooks() const override { return GetParam().hooks; }
};

INSTANTIATE_TEST_SUITE_P(, Throttle, ::testing::ValuesIn(sched_variants()), name_of_variant);

TEST_P(Throttle, WaitsForQuotaAreToldFromOtherWaits)
{
    CgroupFolder cgroup = CgroupFolder::make_with_cpu_quota();
    if (!cgroup.usable()) {
        GTEST_SKIP() << "needs the cpu controller of cgroup v1 or v2";
    }
    cgroup.set_cpu_quota(10'000, 50'000);
    const std::string name = fresh_name();
    Tracer tracer(GetParam().config());
    LoadRun load({"spin", "--threads", "1", "--seconds", "0.8", "--comm", name, "--ready"});
    load.release();
    load.wait_ready();  // its start is not held back
    cgroup.enter(load.pid());
    const json truth = load.report();
    const Snapshot snapshot = tracer.stop();

    const Histogram throttled = histogram(snapshot, kRunQueue, {{"process", name}, {"cause", "throttled"}});
    const auto periods = static_cast<double>(cgroup.throttled_periods());
    ASSERT_GT(periods, 8);
    // A period may hold back both threads of the process, or one of them twice; the first one may be exec's.
    EXPECT_GE(static_cast<double>(throttled.count()), 0.8 * periods);
    EXPECT_LE(static_cast<double>(throttled.count()), 2.2 * periods);
    const double truth_s = not_running_s(truth);
    const double waited = seconds(histogram(snapshot, kRunQueue, {{"process", name}}));
    EXPECT_GE(waited, 0.95 * truth_s - 0.05);
    // The process may also wait before its load begins and after it has ended.
    const double elapsed_s = truth["tasks"][0]["elapsed_ns"].get<double>() / 1e9;
    EXPECT_LE(waited, 1.05 * truth_s + 0.05 + static_cast<double>(load.life_ns()) / 1e9 - elapsed_s);
    EXPECT_GT(seconds(throttled), 0.5 * truth_s);  // the rest: other programs of a busy host
}

TEST_P(Throttle, WithoutAQuotaNothingIsThrottled)
{
    CgroupFolder cgroup = CgroupFolder::make_with_cpu_quota();
    if (!cgroup.usable()) {
        GTEST_SKIP() << "needs the cpu controller of cgroup v1 or v2";
    }
    const std::string name = fresh_name();
    Tracer tracer(GetParam().config());
    run_load({"spin", "--threads", "2", "--cpu", "0", "--seconds", "0.3", "--comm", name}, {.cgroup = cgroup.path()});
    const Snapshot snapshot = tracer.stop();
    EXPECT_EQ(histogram(snapshot, kRunQueue, {{"process", name}, {"cause", "throttled"}}).count(), 0U);
    EXPECT_GT(histogram(snapshot, kRunQueue, {{"process", name}, {"cause", "preempted"}}).count(), 5U);
}

}  // namespace
}  // namespace sonde::test
