// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/units.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sonde {
namespace {

TEST(FormatSeconds, HasThreeDigitsAndAUnitThatFits)
{
    const std::pair<double, const char*> cases[] = {
        {0, "0"},           {1e-9, "1.00 ns"},    {45e-9, "45.0 ns"},
        {870e-9, "870 ns"}, {4.52e-6, "4.52 us"}, {12.3e-3, "12.3 ms"},
        {1.24, "1.24 s"},   {0.5e-9, "0.500 ns"}, {59.96, "60.0 s"},
        {119.4, "119 s"},   {0.1, "100 ms"},      {1, "1.00 s"},
        {10, "10.0 s"},     {0.001, "1.00 ms"},   {1e-6, "1.00 us"},
    };
    for (const auto& [seconds, text] : cases) {
        EXPECT_EQ(format_seconds(seconds), text);
    }
}

TEST(FormatSeconds, RoundsIntoTheNextUnit)
{
    EXPECT_EQ(format_seconds(999.4e-9), "999 ns");
    EXPECT_EQ(format_seconds(999.6e-9), "1.00 us");
    EXPECT_EQ(format_seconds(9.996e-6), "10.0 us");
    EXPECT_EQ(format_seconds(0.9996), "1.00 s");
    EXPECT_EQ(format_seconds(119.6), "2m00s");
}

TEST(FormatSeconds, UsesMinutesHoursAndDaysForLongOnes)
{
    EXPECT_EQ(format_seconds(120), "2m00s");
    EXPECT_EQ(format_seconds(185), "3m05s");
    EXPECT_EQ(format_seconds(3725.4), "62m05s");
    EXPECT_EQ(format_seconds(7199.4), "119m59s");
    EXPECT_EQ(format_seconds(7500), "2h05m");
    EXPECT_EQ(format_seconds(172799), "47h59m");
    EXPECT_EQ(format_seconds(273600), "3d04h");
}

TEST(FormatSeconds, MarksWhatIsNoDuration)
{
    EXPECT_EQ(format_seconds(-1), "?");
    EXPECT_EQ(format_seconds(std::nan("")), "?");
    EXPECT_EQ(format_seconds(std::numeric_limits<double>::infinity()), "?");
}

TEST(FormatCount, IsExactBelowAMillion)
{
    const std::pair<uint64_t, const char*> cases[] = {
        {0, "0"},
        {950, "950"},
        {999, "999"},
        {1000, "1,000"},
        {12345, "12,345"},
        {999999, "999,999"},
        {1000000, "1.00 M"},
        {1239999, "1.24 M"},
        {12345678, "12.3 M"},
        {999600000, "1.00 G"},
        {1234567890123, "1.23 T"},
        {UINT64_MAX, "18.4 E"},
    };
    for (const auto& [count, text] : cases) {
        EXPECT_EQ(format_count(count), text);
    }
}

TEST(Counted, AgreesWithItsNoun)
{
    EXPECT_EQ(counted(0, "event"), "0 events");
    EXPECT_EQ(counted(1, "event"), "1 event");
    EXPECT_EQ(counted(12345, "event"), "12,345 events");
}

TEST(FormatBytes, UsesPowersOfThousand)
{
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(999), "999 B");
    EXPECT_EQ(format_bytes(1000), "1.00 kB");
    EXPECT_EQ(format_bytes(4096), "4.10 kB");
    EXPECT_EQ(format_bytes(999499), "999 kB");
    EXPECT_EQ(format_bytes(999500), "1.00 MB");
    EXPECT_EQ(format_bytes(16384000), "16.4 MB");
    EXPECT_EQ(format_bytes(1240000000), "1.24 GB");
}

// Seconds taken from `date -u -d ... +%s`.
TEST(FormatRfc3339, HasMilliseconds)
{
    EXPECT_EQ(format_rfc3339(0), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(format_rfc3339(951782400), "2000-02-29T00:00:00.000Z");
    EXPECT_EQ(format_rfc3339(1785484800.25), "2026-07-31T08:00:00.250Z");
    EXPECT_EQ(format_rfc3339(1785484800.0006), "2026-07-31T08:00:00.001Z");
    EXPECT_EQ(format_rfc3339(1767225599.9996), "2026-01-01T00:00:00.000Z");
}

TEST(FormatRfc3339, StaysInItsRange)
{
    EXPECT_EQ(format_rfc3339(-5), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(format_rfc3339(std::nan("")), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(format_rfc3339(1e300), "9999-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace sonde
