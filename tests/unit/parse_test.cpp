// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/parse.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

using namespace std::chrono_literals;

TEST(ParseDuration, TakesEveryUnit)
{
    const std::pair<const char*, std::chrono::nanoseconds> cases[] = {
        {"10", 10s}, {"10s", 10s},     {"500ms", 500ms}, {"250us", 250us}, {"2m", 2min},   {"2min", 2min},
        {"1h", 1h},  {"1.5s", 1500ms}, {"0.25", 250ms},  {"1.5h", 90min},  {"744h", 744h}, {"0.001us", 1ns},
    };
    for (const auto& [text, expected] : cases) {
        const Result<std::chrono::nanoseconds> duration = parse_duration(text);
        ASSERT_TRUE(duration) << text;
        EXPECT_EQ(*duration, expected) << text;
    }
}

TEST(ParseDuration, RefusesWhatIsNoDurationAndQuotesIt)
{
    for (const char* text :
         {"", " ", "s", "ten", "10x", "10 s", " 10s", "10s ", "10s5", "1,5s", "+5s", "nan", "inf", "0x10", "5S"}) {
        const Result<std::chrono::nanoseconds> duration = parse_duration(text);
        ASSERT_FALSE(duration) << "'" << text << "'";
        EXPECT_EQ(duration.error().code, EINVAL) << "'" << text << "'";
        EXPECT_TRUE(duration.error().what.starts_with(std::string("'") + text + "'"));
    }
}

TEST(ParseDuration, RefusesWhatIsOutOfRange)
{
    for (const char* text : {"0", "0s", "-1s", "-0.5", "744.1h", "32768h", "1e300"}) {
        const Result<std::chrono::nanoseconds> duration = parse_duration(text);
        ASSERT_FALSE(duration) << text;
        EXPECT_EQ(duration.error().code, ERANGE) << text;
    }
}

TEST(ParsePid, TakesAWholePositiveNumberOnly)
{
    for (const auto& [text, pid] : {std::pair("1", 1), {"4194304", 4194304}, {"007", 7}, {"2147483647", 2147483647}}) {
        const Result<pid_t> parsed = parse_pid(text);
        ASSERT_TRUE(parsed) << text;
        EXPECT_EQ(*parsed, pid) << text;
    }
    for (const char* text : {"", "0", "-1", "+1", " 1", "1 ", "1.0", "0x10", "2147483648", "geth"}) {
        const Result<pid_t> parsed = parse_pid(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().code, EINVAL) << text;
        EXPECT_EQ(parsed.error().what, std::string(text) + ": a pid is a whole number greater than 0");
    }
}

}  // namespace
}  // namespace sonde
