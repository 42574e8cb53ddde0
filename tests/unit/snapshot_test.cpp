// SPDX-License-Identifier: Apache-2.0
#include "userspace/metrics/snapshot.h"

#include <gtest/gtest.h>

#include "tests/unit/export_sample.h"

namespace sonde {
namespace {

TEST(SnapshotAdvance, CoversTheTimeBetweenTheReadings)
{
    Snapshot before;
    before.start_unix = 1000.5;
    before.duration_s = 10;
    Snapshot now = before;
    now.duration_s = 12.5;
    now.host = "a";
    now.kernel = "6.1";
    const Snapshot d = advance(before, now);
    EXPECT_EQ(d.start_unix, 1010.5);
    EXPECT_EQ(d.duration_s, 2.5);
    EXPECT_EQ(d.host, "a");
    EXPECT_EQ(d.kernel, "6.1");
}

TEST(SnapshotAdvance, SubtractsSeriesOfTheSameNameAndLabels)
{
    Snapshot before;
    before.histograms = {{"h", {{"process", "a"}}, histogram_of({{100, 2}})},
                         {"h", {{"process", "b"}}, histogram_of({{100, 5}})}};
    before.counters = {{"c", {{"port", "1"}}, 10}, {"c", {{"port", "2"}}, 20}};
    Snapshot now;
    now.histograms = {{"h", {{"process", "b"}}, histogram_of({{100, 5}, {3000, 1}})},
                      {"h", {{"process", "a"}}, histogram_of({{100, 6}})}};
    now.counters = {{"c", {{"port", "2"}}, 21}, {"c", {{"port", "1"}}, 17}};
    const Snapshot d = advance(before, now);
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

TEST(SnapshotAdvance, LeavesOutSeriesWithoutNewsAndTakesNewOnesWhole)
{
    Snapshot before;
    before.histograms = {{"h", {{"process", "old"}}, histogram_of({{100, 2}})}};
    before.counters = {{"c", {{"port", "1"}}, 10}};
    Snapshot now = before;
    now.histograms.push_back({"h", {{"process", "new"}}, histogram_of({{700, 1}})});
    now.counters.push_back({"d", {{"port", "1"}}, 3});
    now.counters.push_back({"e", {}, 0});
    const Snapshot d = advance(before, now);
    ASSERT_EQ(d.histograms.size(), 1U);
    EXPECT_EQ(d.histograms[0].labels.at("process"), "new");
    EXPECT_EQ(d.histograms[0].histogram, histogram_of({{700, 1}}));
    ASSERT_EQ(d.counters.size(), 1U);
    EXPECT_EQ(d.counters[0].name, "d");
    EXPECT_EQ(d.counters[0].value, 3U);
}

TEST(SnapshotAdvance, SubtractsTheCountersOfEachProbe)
{
    Snapshot before;
    before.probes = {{"run-queue latency", "x", ProbeState::kOk, "", 100, {{"no_start", 4}}, 1000, 5000}};
    Snapshot now;
    now.probes = {
        {"TCP accept latency", "y", ProbeState::kOk, "", 9, {}, 0, 0},
        {"run-queue latency", "x", ProbeState::kDegraded, "z", 130, {{"no_start", 6}, {"full", 1}}, 1500, 9000}};
    const Snapshot d = advance(before, now);
    ASSERT_EQ(d.probes.size(), 2U);
    EXPECT_EQ(d.probes[0].events, 9U);
    EXPECT_EQ(d.probes[1].events, 30U);
    EXPECT_EQ(d.probes[1].run_count, 500U);
    EXPECT_EQ(d.probes[1].run_time_ns, 4000U);
    EXPECT_EQ(d.probes[1].discarded, (std::map<std::string, uint64_t>{{"full", 1}, {"no_start", 2}}));
    EXPECT_EQ(d.probes[1].state, ProbeState::kDegraded);
    EXPECT_EQ(d.probes[1].reason, "z");
}

HistogramSeries of_migration(Histogram histogram)
{
    return {"h", {{"process", "migration"}}, std::move(histogram)};
}

TEST(SnapshotAdvance, AValueThatIsRecordedWhileItIsReadContradictsNoInterval)
{
    constexpr uint64_t kSmall = 100'000, kLarge = 520'000'000;
    Snapshot shown;
    Snapshot now;
    now.duration_s = 1;
    now.histograms = {of_migration(histogram_of({{kSmall, 3}}))};
    ASSERT_EQ(advance(shown, now).histograms.size(), 1U);
    // The large value is in its bucket, but neither in the sum nor, exactly, the maximum.
    Histogram torn = histogram_of({{kSmall, 3}, {kLarge, 1}});
    torn.sum_ns -= kLarge;
    torn.max_ns = kLarge - 1'000'000;
    now.histograms = {of_migration(torn)};
    Snapshot interval = advance(shown, now);
    ASSERT_EQ(interval.histograms.size(), 1U);
    const Histogram& first = interval.histograms[0].histogram;
    EXPECT_EQ(first.count(), 1U);
    EXPECT_NEAR(static_cast<double>(first.sum_ns), kLarge, 0.05 * kLarge);
    EXPECT_GE(first.max_ns, first.sum_ns);
    const uint64_t first_sum = first.sum_ns;
    // Nothing came but its sum: there is nothing to show, and nothing is lost.
    now.histograms = {of_migration(histogram_of({{kSmall, 3}, {kLarge, 1}}))};
    EXPECT_TRUE(advance(shown, now).histograms.empty());
    now.histograms = {of_migration(histogram_of({{kSmall, 1003}, {kLarge, 1}}))};
    interval = advance(shown, now);
    ASSERT_EQ(interval.histograms.size(), 1U);
    const Histogram& second = interval.histograms[0].histogram;
    EXPECT_EQ(second.count(), 1000U);
    EXPECT_LT(second.max_ns, 2 * kSmall);
    EXPECT_LE(second.sum_ns, second.count() * second.max_ns);
    EXPECT_GE(second.sum_ns, second.count() * second.min_ns);
    // Within what the buckets leave open, the sums make up for each other.
    EXPECT_NEAR(static_cast<double>(first_sum + second.sum_ns), kLarge + 1000 * kSmall, 0.05 * kLarge);
}

TEST(SnapshotAdvance, SumsOfAllIntervalsAreThatOfTheWhole)
{
    Snapshot shown;
    uint64_t sum = 0;
    Histogram whole;
    for (uint64_t i = 1; i <= 200; ++i) {
        for (uint64_t n = 0; n < 50; ++n) {
            whole.record(1000 + (i * 7919 + n * 104'729) % 3000);
        }
        Histogram torn = whole;
        if (i % 2 != 0) {
            torn.sum_ns -= 2000;  // of the last value
        }
        Snapshot now;
        now.duration_s = static_cast<double>(i);
        now.histograms = {of_migration(torn)};
        sum += advance(shown, now).histograms.at(0).histogram.sum_ns;
    }
    EXPECT_EQ(sum, whole.sum_ns);
}

}  // namespace
}  // namespace sonde
