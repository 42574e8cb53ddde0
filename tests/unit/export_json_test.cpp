// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/json.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/unit/export_sample.h"

namespace sonde {
namespace {

using nlohmann::json;

TEST(ExportJson, MatchesTheGoldenFile)
{
    EXPECT_EQ(to_json(sample_snapshot()), golden("trace.json"));
}

TEST(ExportJson, OrderOfSeriesInTheSnapshotDoesNotMatter)
{
    Snapshot s = sample_snapshot();
    std::reverse(s.histograms.begin(), s.histograms.end());
    std::reverse(s.counters.begin(), s.counters.end());
    EXPECT_EQ(to_json(s), golden("trace.json"));
}

TEST(ExportJson, AnEmptySnapshotIsADocumentToo)
{
    const std::string text = to_json(Snapshot());
    EXPECT_EQ(text,
              "{\"schema\":\"sonde.trace/1\",\"host\":\"\",\"kernel\":\"\",\"start\":\"1970-01-01T00:00:00.000Z\","
              "\"duration_s\":0.0,\"probes\":[],\"histograms\":[],\"counters\":[]}\n");
}

TEST(ExportJson, IsOneLineOfAsciiWhateverTheStringsHold)
{
    Snapshot s;
    s.host = kHostile;
    s.kernel = kHostile;
    s.probes = {{kHostile, kHostile, ProbeState::kOff, kHostile, 0, {{kHostile, 1}}, 0, 0}};
    s.histograms = {{"h", {{"process", kHostile}}, histogram_of({{5, 1}})}};
    s.counters = {{"c", {{"process", kHostile}}, 1}};
    const std::string text = to_json(s);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
    EXPECT_EQ(text.back(), '\n');
    EXPECT_TRUE(std::all_of(text.begin(), text.end() - 1, [](char c) { return c >= 0x20 && c < 0x7F; }));
    std::string valid = "a\"b\\c\nd\x1b[31m\x7f";
    for (int i = 0; i < 6; ++i) {
        valid += "\xEF\xBF\xBD";
    }
    valid += "\xe2\x80\xae\xc2\x9b{}=,";
    const json document = json::parse(text);
    EXPECT_EQ(document["host"], valid);
    EXPECT_EQ(document["probes"][0]["discarded"][valid], 1);
    EXPECT_EQ(document["histograms"][0]["labels"]["process"], valid);
    EXPECT_EQ(document["counters"][0]["labels"]["process"], valid);
}

TEST(ExportJson, MergesSeriesThatDifferOnlyInInvalidBytes)
{
    Snapshot s;
    s.histograms = {{"h", {{"process", "a\xfe"}}, histogram_of({{5, 1}})},
                    {"h", {{"process", "a\xff"}}, histogram_of({{7, 2}})}};
    s.counters = {{"c", {{"process", "a\xfe"}}, 3}, {"c", {{"process", "a\xff"}}, 4}};
    const json document = json::parse(to_json(s));
    ASSERT_EQ(document["histograms"].size(), 1U);
    EXPECT_EQ(document["histograms"][0]["count"], 3);
    ASSERT_EQ(document["counters"].size(), 1U);
    EXPECT_EQ(document["counters"][0]["value"], 7);
}

TEST(ExportJson, AHistogramWithoutValuesHasNoExtremes)
{
    Snapshot s;
    s.histograms = {{"h", {}, Histogram()}};
    const json h = json::parse(to_json(s))["histograms"][0];
    EXPECT_TRUE(h["min"].is_null());
    EXPECT_TRUE(h["max"].is_null());
    EXPECT_TRUE(h["quantiles"]["0.999"].is_null());
    EXPECT_EQ(h["count"], 0);
    EXPECT_EQ(h["labels"], json::object());
    EXPECT_EQ(h["buckets"], json::array());
}

TEST(ExportJson, SecondsGiveTheNanosecondsBack)
{
    std::mt19937_64 random(7);
    std::uniform_real_distribution<double> octave(0, 52);
    for (int i = 0; i < 2000; ++i) {
        const auto ns = static_cast<uint64_t>(std::exp2(octave(random)));
        Snapshot s;
        s.histograms = {{"h", {}, Histogram{{{-200, 1}}, 0, 0, ns, ns, ns}}};
        const json h = json::parse(to_json(s))["histograms"][0];
        for (const char* field : {"sum", "min", "max"}) {
            const double seconds = h[field];
            ASSERT_EQ(static_cast<uint64_t>(std::llround(seconds * 1e9L)), ns) << field;
        }
    }
}

}  // namespace
}  // namespace sonde
