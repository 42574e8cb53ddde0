// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/prometheus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "tests/unit/export_sample.h"
#include "userspace/export/utf8.h"

namespace sonde {
namespace {

TEST(ExportPrometheus, MatchesTheGoldenFile)
{
    EXPECT_EQ(to_prometheus(sample_snapshot()), golden("trace.prom"));
}

TEST(ExportPrometheus, OrderOfSeriesInTheSnapshotDoesNotMatter)
{
    Snapshot s = sample_snapshot();
    std::reverse(s.histograms.begin(), s.histograms.end());
    std::reverse(s.counters.begin(), s.counters.end());
    std::reverse(s.probes.begin(), s.probes.end());
    EXPECT_EQ(to_prometheus(s), golden("trace.prom"));
}

TEST(ExportPrometheus, AnEmptySnapshotIsAnEmptyPage)
{
    EXPECT_EQ(to_prometheus(Snapshot()), "");
}

TEST(ExportPrometheus, HelpAndTypeStandOncePerFamily)
{
    std::map<std::string, int> seen;
    std::istringstream lines(to_prometheus(sample_snapshot()));
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("# ")) {
            ++seen[line.substr(0, line.find(' ', 7))];
        }
    }
    EXPECT_EQ(seen.size(), 2 * 15U);  // families in the sample, those of the probes included
    for (const auto& [comment, times] : seen) {
        EXPECT_EQ(times, 1) << comment;
    }
}

TEST(ExportPrometheus, EscapesLabels)
{
    Snapshot s;
    s.counters = {{"c", {{"process", "a\\b\"c\nd"}}, 1}, {"c", {{"process", kHostile}}, 2}};
    const std::string text = to_prometheus(s);
    EXPECT_TRUE(has_line(text, "c{process=\"a\\\\b\\\"c\\nd\"} 1"));
    std::string valid = "a\\\"b\\\\c\\nd\x1b[31m\x7f";
    for (int i = 0; i < 6; ++i) {
        valid += "\xEF\xBF\xBD";
    }
    EXPECT_TRUE(has_line(text, "c{process=\"" + valid + "\xe2\x80\xae\xc2\x9b{}=,\"} 2"));
    EXPECT_EQ(to_valid_utf8(text), text);
}

TEST(ExportPrometheus, NeverWritesTheSameSeriesTwice)
{
    Snapshot s;
    s.histograms = {{"h", {{"process", "a\xfe"}}, histogram_of({{5, 1}})},
                    {"h", {{"process", "a\xff"}}, histogram_of({{7, 2}})}};
    s.probes = {{"x", "", ProbeState::kOk, "", 4, {}, 0, 0}, {"x", "", ProbeState::kOk, "", 5, {}, 0, 0}};
    const std::string text = to_prometheus(s);
    EXPECT_TRUE(has_line(text, "h_count{process=\"a\xEF\xBF\xBD\"} 3"));
    EXPECT_TRUE(has_line(text, "sonde_events_total{measurement=\"x\"} 9"));
    EXPECT_EQ(text.find("_count"), text.rfind("_count"));
}

TEST(ExportPrometheus, WhatProbesSayIsValidAndComesOnce)
{
    Snapshot s;
    s.probes = {{"x", "", ProbeState::kOff, "a\xfe", 0, {}, 0, 0}, {"x", "", ProbeState::kOff, "a\xff", 0, {}, 0, 0}};
    const std::string text = to_prometheus(s);
    EXPECT_EQ(to_valid_utf8(text), text);
    const std::string line = "sonde_probe_info{hook=\"\",probe=\"x\",reason=\"a\xEF\xBF\xBD\",status=\"off\"} 1";
    EXPECT_TRUE(has_line(text, line)) << text;
    EXPECT_EQ(text.find(line), text.rfind(line));
}

TEST(ExportPrometheus, BucketBoundsIncludeTheirOwnValue)
{
    Snapshot s;  // 2^0, 2^-9 and 2^5 seconds are whole nanoseconds; one more is in the next bucket
    s.histograms = {{"h",
                     {},
                     histogram_of({{0, 1},
                                   {1953125, 2},
                                   {1953126, 4},
                                   {1000000000, 8},
                                   {1000000001, 16},
                                   {32000000000, 32},
                                   {32000000001, 64}})}};
    const std::string text = to_prometheus(s);
    for (const char* line :
         {"h_bucket{le=\"9.5367431640625e-07\"} 1", "h_bucket{le=\"0.0009765625\"} 1", "h_bucket{le=\"0.001953125\"} 3",
          "h_bucket{le=\"0.00390625\"} 7", "h_bucket{le=\"0.5\"} 7", "h_bucket{le=\"1\"} 15", "h_bucket{le=\"2\"} 31",
          "h_bucket{le=\"32\"} 63", "h_bucket{le=\"+Inf\"} 127", "h_count 127"}) {
        EXPECT_TRUE(has_line(text, line)) << line << "\n" << text;
    }
}

TEST(ExportPrometheus, SumsAreExact)
{
    Snapshot s;
    s.histograms = {{"h", {}, Histogram{{{16, 1}}, 0, 0, 18446744073709551615U, 1, 1}}};
    EXPECT_TRUE(has_line(to_prometheus(s), "h_sum 18446744073.709551615"));
    s.histograms[0].histogram.sum_ns = 1000000000;
    EXPECT_TRUE(has_line(to_prometheus(s), "h_sum 1"));
    s.histograms[0].histogram.sum_ns = 10;
    EXPECT_TRUE(has_line(to_prometheus(s), "h_sum 0.00000001"));
}

TEST(ExportPrometheus, ClaimsNoCostThatIsNotKnown)
{
    Snapshot s;
    s.probes = {{"a", "", ProbeState::kOk, "", 4, {}, 0, 0}, {"b", "", ProbeState::kOk, "", 5, {}, 10, 2500}};
    const std::string text = to_prometheus(s);
    EXPECT_EQ(text.find("_cost_seconds_total{probe=\"a\""), std::string::npos);
    EXPECT_TRUE(has_line(text, "sonde_probe_runs_total{probe=\"b\"} 10"));
    EXPECT_TRUE(has_line(text, "sonde_probe_cost_seconds_total{probe=\"b\"} 0.0000025"));
}

}  // namespace
}  // namespace sonde
