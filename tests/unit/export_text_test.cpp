// SPDX-License-Identifier: Apache-2.0
//
// The numbers in text_*.txt are those that `golden.py cells` prints.
#include "userspace/export/text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <vector>

#include "tests/unit/export_sample.h"
#include "userspace/export/distribution.h"
#include "userspace/export/utf8.h"

namespace sonde {
namespace {

constexpr TextStyle kWide{.color = false, .width = 140, .max_rows_per_measurement = 10, .utf8 = true};
constexpr TextStyle kNarrow{.color = false, .width = 80, .max_rows_per_measurement = 2, .utf8 = false};
constexpr TextStyle kColor{.color = true, .width = 0, .max_rows_per_measurement = 3, .utf8 = true};

std::vector<std::string> lines_of(const std::string& text)
{
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(line);
    }
    return lines;
}

// First word of every line between a title and the next blank line.
std::vector<std::string> first_words(const std::string& text, const std::string& title)
{
    std::vector<std::string> words;
    std::istringstream section(text.substr(text.find(title + "\n") + title.size() + 1));
    for (std::string line; std::getline(section, line) && !line.empty();) {
        std::istringstream(line) >> words.emplace_back();
    }
    return words;
}

Snapshot hostile_snapshot()
{
    const std::string long_name = kHostile + std::string(300, 'x');
    Snapshot s = sample_snapshot();
    s.host = s.kernel = long_name;
    for (ProbeStatus& probe : s.probes) {
        probe.hook = probe.reason = long_name;
        probe.discarded[long_name] = 7;
    }
    for (const char* name : {"sonde_sched_runq_latency_seconds", "sonde_block_io_latency_seconds", "x_seconds"}) {
        s.histograms.push_back({name, {{long_name, long_name}, {"process", kHostile}}, histogram_of({{5, 1}})});
    }
    s.histograms.push_back({long_name, {{"a", long_name}}, histogram_of({{5, 1}, {0, 2}})});
    s.histograms.push_back(
        {"sonde_sched_oncpu_seconds", {{"process", long_name}}, histogram_of({{1, 1}, {2000000000000, 1}})});
    s.counters.push_back({long_name, {{"a", long_name}, {"b", kHostile}}, UINT64_MAX});
    s.counters.push_back({"sonde_block_io_errors_total", {{"device", long_name}, {"op", "read"}}, UINT64_MAX});
    return s;
}

TEST(ExportText, MatchesTheGoldenFiles)
{
    EXPECT_EQ(to_text(sample_snapshot(), kWide), golden("text_wide.txt"));
    EXPECT_EQ(to_text(sample_snapshot(), kNarrow), golden("text_80_ascii.txt"));
    EXPECT_EQ(to_text(sample_snapshot(), kColor), golden("text_color.txt"));
}

TEST(ExportText, FitsIntoTheWidth)
{
    // Under sanitizers, where it would take a minute, one width in seven.
    const int step = std::getenv("SONDE_TEST_SLOW") != nullptr ? 7 : 1;
    for (const Snapshot& s : {sample_snapshot(), hostile_snapshot()}) {
        for (int width = 80; width <= 250; width += step) {
            for (const bool utf8 : {false, true}) {
                const TextStyle style{.color = false, .width = width, .max_rows_per_measurement = 0, .utf8 = utf8};
                for (const std::string& line : lines_of(to_text(s, style))) {
                    ASSERT_LE(display_width(line), static_cast<size_t>(width)) << line;
                }
            }
        }
    }
}

TEST(ExportText, NamesCannotReachTheTerminalAsControlCharacters)
{
    std::string text = to_text(hostile_snapshot(), {.color = true, .width = 100, .utf8 = true});
    for (const std::string ours : {"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m"}) {
        // Ours stand at the ends of lines only; the hostile name carries its \x1b[31m in the middle.
        for (size_t at = text.find(ours); at != std::string::npos; at = text.find(ours, at)) {
            ASSERT_TRUE(at == 0 || text[at - 1] == '\n' || text[at + ours.size()] == '\n');
            text.erase(at, ours.size());
        }
    }
    std::erase(text, '\n');
    EXPECT_EQ(printable(text), text);
    EXPECT_NE(text.find("\\x1b[31m"), std::string::npos);
}

TEST(ExportText, WithoutUtf8EverythingIsAscii)
{
    const std::string text = to_text(hostile_snapshot(), {.color = false, .width = 120, .utf8 = false});
    EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || (c >= 0x20 && c < 0x7F); }));
}

TEST(ExportText, CutsLongNamesAt24Columns)
{
    Snapshot s;
    s.histograms = {{"sonde_sched_oncpu_seconds", {{"process", "abcdefghijklmnopqrstuvwxyz"}}, histogram_of({{5, 1}})}};
    EXPECT_NE(to_text(s, kWide).find("  abcdefghijklmnopqrstuvw…  "), std::string::npos);
    EXPECT_NE(to_text(s, kNarrow).find("  abcdefghijklmnopqrstuvw~  "), std::string::npos);
}

TEST(ExportText, SortsByTotalTimeAndCountsWhatItDoesNotShow)
{
    Snapshot s;
    for (const auto& [name, ns] : std::map<std::string, uint64_t>{{"a", 50}, {"b", 900}, {"c", 70}, {"d", 7000}}) {
        s.histograms.push_back({"sonde_sched_oncpu_seconds", {{"process", name}}, histogram_of({{ns, 1}})});
    }
    EXPECT_EQ(first_words(to_text(s, kWide), "On-CPU slices"),
              (std::vector<std::string>{"process", "d", "b", "c", "a"}));
    const std::string two = to_text(s, kNarrow);
    EXPECT_EQ(first_words(two, "On-CPU slices"), (std::vector<std::string>{"process", "d", "b", "..."}));
    EXPECT_TRUE(has_line(two, "  ... and 2 more (--all shows them)"));
}

TEST(ExportText, KeepsTheStagesOfAQueueTogether)
{
    Snapshot s;
    const auto add = [&](const char* device, const char* stage, uint64_t ns) {
        s.histograms.push_back({"sonde_block_io_latency_seconds",
                                {{"device", device}, {"op", "read"}, {"stage", stage}},
                                histogram_of({{ns, 1}})});
    };
    add("b", "device", 600);
    add("b", "queue", 100);
    add("b", "total", 700);
    add("a", "total", 650);
    add("a", "device", 500);
    add("a", "queue", 150);
    std::vector<std::string> rows;
    for (const std::string& line : lines_of(to_text(s, kWide))) {
        std::istringstream words(line);
        std::string device;
        std::string op;
        std::string stage;
        if (words >> device >> op >> stage && op == "read") {
            rows.push_back(device + " " + stage);
        }
    }
    EXPECT_EQ(rows, (std::vector<std::string>{"b total", "b queue", "b device", "a total", "a queue", "a device"}));
}

TEST(ExportText, SaysWhenAMeasurementSawNothing)
{
    Snapshot s;
    s.probes = {{"block I/O latency", "tp_btf/block_rq_complete", ProbeState::kOk, "", 0, {}, 0, 0},
                {"TCP counters", "tp_btf/tcp_send_reset", ProbeState::kOk, "", 0, {}, 0, 0},
                {"TCP accept latency", "", ProbeState::kOff, "no such tracepoint", 0, {}, 0, 0}};
    const std::string text = to_text(s, kWide);
    EXPECT_TRUE(has_line(text, "Block I/O: no block I/O completed"));
    EXPECT_TRUE(has_line(text, "  no retransmit, reset, failed connect or full listen queue"));
    EXPECT_TRUE(has_line(text, "  off: TCP accept latency: no such tracepoint"));
    EXPECT_EQ(text.find("no TCP connection was accepted"), std::string::npos);
    EXPECT_EQ(text.find("quantiles"), std::string::npos);
}

TEST(ExportText, ShowsWhatUnknownMeasurementsAndFamiliesSay)
{
    Snapshot s;
    s.probes = {{"fsync latency", "tp/x", ProbeState::kOk, "", 5, {{"map_full", 8}}, 0, 0}};
    s.histograms = {{"sonde_fsync_seconds", {{"fs", "ext4"}}, histogram_of({{5, 1}})},
                    // A label that the table of families does not know of must not hide.
                    {"sonde_tcp_rtt_seconds", {{"peer", "public"}, {"netns", "7"}}, histogram_of({{5, 1}})}};
    const std::string text = to_text(s, kWide);
    EXPECT_TRUE(has_line(text, "fsync latency"));
    EXPECT_TRUE(has_line(text, "  tp/x; 5 events"));
    EXPECT_TRUE(has_line(text, "  8 events discarded: map_full 8"));
    EXPECT_TRUE(has_line(text, "sonde_fsync_seconds"));
    EXPECT_NE(text.find("fs=ext4"), std::string::npos);
    EXPECT_NE(text.find("netns=7, peer=public"), std::string::npos);
}

TEST(ExportText, ARateBeyondAllNumbersIsStillOne)
{
    Snapshot s;
    s.duration_s = 1e-9;
    s.probes = {{"block I/O latency", "tp_btf/block_rq_complete", ProbeState::kOk, "", 1, {}, 0, 0}};
    s.histograms = {{"sonde_block_io_latency_seconds",
                     {{"device", "vda"}, {"op", "read"}, {"stage", "total"}},
                     histogram_of({{5, 1}})}};
    s.counters = {{"sonde_block_io_bytes_total", {{"device", "vda"}, {"op", "read"}}, UINT64_MAX}};
    EXPECT_NE(to_text(s, kWide).find("vda read: 18.4 EB, 10.0 EB/s"), std::string::npos) << to_text(s, kWide);
}

TEST(ExportText, AnEmptySnapshotHasAHeader)
{
    EXPECT_EQ(to_text(Snapshot(), kWide), "sonde trace: host , kernel , from 1970-01-01 00:00:00 UTC, 0 measured\n");
}

TEST(Axis, HasOneCellPerOctaveWhereThatIsWideEnough)
{
    // 2^-20 s is bucket -320, 2^-4 s is bucket -64: 16 octaves.
    const std::optional<Axis> axis = Axis::fit(-319, -64, 40, false);
    ASSERT_TRUE(axis.has_value());
    EXPECT_EQ(axis->first, -320);
    EXPECT_EQ(axis->buckets_per_cell, 16);
    EXPECT_EQ(axis->cells, 16);
    EXPECT_EQ(axis->header(false), "954ns-----62.5ms");
    EXPECT_FALSE(Axis::fit(-319, -64, 11, false).has_value());
    EXPECT_FALSE(Axis::fit(-319, -64, -3, false).has_value());
}

TEST(Axis, DrawsEachCellInProportionToTheFullest)
{
    const Axis axis{-320, 16, 4};
    Histogram h;
    h.zero_count = 100;  // has no place
    h.buckets = {{-319, 5},
                 {-304, 3},  // both ends of the first cell
                 {-303, 1},
                 {-256, 4}};
    EXPECT_EQ(axis.draw(h, true), "█▁ ▄");
    EXPECT_EQ(axis.draw(h, false), "@: +");  // of nine steps: 9, ceil(9/8), none, ceil(9/2)
}

TEST(Axis, CoversWhatItWasMadeFor)
{
    for (int lowest = -478; lowest <= 177; lowest += 5) {
        for (int highest = lowest; highest <= 177; highest += 7) {
            for (const int columns : {13, 16, 20, 41, 60}) {
                const std::optional<Axis> axis = Axis::fit(lowest, highest, columns, true);
                if (!axis) {
                    continue;
                }
                ASSERT_LE(axis->cells, columns);
                ASSERT_LT(axis->first, lowest);
                ASSERT_GE(axis->first + axis->cells * axis->buckets_per_cell, highest);
                ASSERT_EQ(display_width(axis->header(true)), static_cast<size_t>(axis->cells));
            }
        }
    }
}

}  // namespace
}  // namespace sonde
