// SPDX-License-Identifier: Apache-2.0
#include "userspace/metrics/snapshot.h"

#include <gtest/gtest.h>

#include "tests/unit/export_sample.h"

namespace sonde {
namespace {

TEST(SnapshotDelta, CoversTheTimeBetweenTheReadings)
{
    Snapshot before;
    before.start_unix = 1000.5;
    before.duration_s = 10;
    Snapshot now = before;
    now.duration_s = 12.5;
    now.host = "a";
    now.kernel = "6.1";
    const Snapshot d = delta(now, before);
    EXPECT_EQ(d.start_unix, 1010.5);
    EXPECT_EQ(d.duration_s, 2.5);
    EXPECT_EQ(d.host, "a");
    EXPECT_EQ(d.kernel, "6.1");
}

TEST(SnapshotDelta, SubtractsSeriesOfTheSameNameAndLabels)
{
    Snapshot before;
    before.histograms = {{"h", {{"process", "a"}}, histogram_of({{100, 2}})},
                         {"h", {{"process", "b"}}, histogram_of({{100, 5}})}};
    before.counters = {{"c", {{"port", "1"}}, 10}, {"c", {{"port", "2"}}, 20}};
    Snapshot now;
    now.histograms = {{"h", {{"process", "b"}}, histogram_of({{100, 5}, {3000, 1}})},
                      {"h", {{"process", "a"}}, histogram_of({{100, 6}})}};
    now.counters = {{"c", {{"port", "2"}}, 21}, {"c", {{"port", "1"}}, 17}};
    const Snapshot d = delta(now, before);
    ASSERT_EQ(d.histograms.size(), 2U);
    EXPECT_EQ(d.histograms[0].labels.at("process"), "b");
    EXPECT_EQ(d.histograms[0].histogram.buckets, histogram_of({{3000, 1}}).buckets);
    EXPECT_EQ(d.histograms[0].histogram.max_ns, 3000U);
    EXPECT_EQ(d.histograms[1].histogram.count(), 4U);
    EXPECT_EQ(d.histograms[1].histogram.sum_ns, 400U);
    ASSERT_EQ(d.counters.size(), 2U);
    EXPECT_EQ(d.counters[0].value, 1U);
    EXPECT_EQ(d.counters[1].value, 7U);
}

TEST(SnapshotDelta, LeavesOutSeriesWithoutNewsAndTakesNewOnesWhole)
{
    Snapshot before;
    before.histograms = {{"h", {{"process", "old"}}, histogram_of({{100, 2}})}};
    before.counters = {{"c", {{"port", "1"}}, 10}};
    Snapshot now = before;
    now.histograms.push_back({"h", {{"process", "new"}}, histogram_of({{700, 1}})});
    now.counters.push_back({"d", {{"port", "1"}}, 3});
    now.counters.push_back({"e", {}, 0});
    const Snapshot d = delta(now, before);
    ASSERT_EQ(d.histograms.size(), 1U);
    EXPECT_EQ(d.histograms[0].labels.at("process"), "new");
    EXPECT_EQ(d.histograms[0].histogram, histogram_of({{700, 1}}));
    ASSERT_EQ(d.counters.size(), 1U);
    EXPECT_EQ(d.counters[0].name, "d");
    EXPECT_EQ(d.counters[0].value, 3U);
}

TEST(SnapshotDelta, SubtractsTheCountersOfEachProbe)
{
    Snapshot before;
    before.probes = {{"run-queue latency", "x", ProbeState::kOk, "", 100, {{"no_start", 4}}, 1000, 5000}};
    Snapshot now;
    now.probes = {
        {"TCP accept latency", "y", ProbeState::kOk, "", 9, {}, 0, 0},
        {"run-queue latency", "x", ProbeState::kDegraded, "z", 130, {{"no_start", 6}, {"full", 1}}, 1500, 9000}};
    const Snapshot d = delta(now, before);
    ASSERT_EQ(d.probes.size(), 2U);
    EXPECT_EQ(d.probes[0].events, 9U);
    EXPECT_EQ(d.probes[1].events, 30U);
    EXPECT_EQ(d.probes[1].run_count, 500U);
    EXPECT_EQ(d.probes[1].run_time_ns, 4000U);
    EXPECT_EQ(d.probes[1].discarded, (std::map<std::string, uint64_t>{{"full", 1}, {"no_start", 2}}));
    EXPECT_EQ(d.probes[1].state, ProbeState::kDegraded);
    EXPECT_EQ(d.probes[1].reason, "z");
}

}  // namespace
}  // namespace sonde
