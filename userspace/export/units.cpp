// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/units.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace sonde {
namespace {

template <class... Args>
std::string print(const char* format, Args... args)
{
    std::array<char, 64> text;
    std::snprintf(text.data(), text.size(), format, args...);
    return text.data();
}

// A number rounded to three significant digits: digits[0].digits[1]digits[2] * 10^exponent. Rounding comes
// first, so that 999.6 ns becomes 1.00 us and not 1000 ns.
struct Rounded {
    std::string digits;
    int exponent;
};

// REQUIRES: value > 0 and finite.
Rounded round_to_three_digits(double value)
{
    const std::string text = print("%.2e", value);  // d.dde[+-]xx
    return {text.substr(0, 1) + text.substr(2, 2), std::atoi(text.c_str() + 5)};
}

// The rounded number in units of 10^unit_exponent. REQUIRES: 0 <= exponent - unit_exponent <= 2.
std::string in_unit(const Rounded& number, int unit_exponent)
{
    std::string text = number.digits;
    const int whole_digits = number.exponent - unit_exponent + 1;
    if (whole_digits < 3) {
        text.insert(static_cast<size_t>(whole_digits), 1, '.');
    }
    return text;
}

std::string minutes_and_more(double seconds)
{
    constexpr uint64_t kMinute = 60;
    constexpr uint64_t kHour = 60 * kMinute;
    constexpr uint64_t kDay = 24 * kHour;
    const auto s = static_cast<uint64_t>(std::llround(std::min(seconds, 1e15)));
    if (s < 2 * kHour) {
        return print("%llum%02llus", static_cast<unsigned long long>(s / kMinute),
                     static_cast<unsigned long long>(s % kMinute));
    }
    if (s < 2 * kDay) {
        return print("%lluh%02llum", static_cast<unsigned long long>(s / kHour),
                     static_cast<unsigned long long>(s % kHour / kMinute));
    }
    return print("%llud%02lluh", static_cast<unsigned long long>(s / kDay),
                 static_cast<unsigned long long>(s % kDay / kHour));
}

// REQUIRES: value >= 1000.
std::string in_powers_of_thousand(uint64_t value)
{
    constexpr std::string_view kPrefixes = "kMGTPE";
    const Rounded number = round_to_three_digits(static_cast<double>(value));
    const int power = number.exponent / 3;
    return in_unit(number, 3 * power) + " " + kPrefixes[static_cast<size_t>(power) - 1];
}

}  // namespace

std::string format_seconds(double seconds)
{
    if (seconds == 0) {
        return "0";
    }
    if (!std::isfinite(seconds) || seconds < 0) {
        return "?";
    }
    if (seconds >= 119.5) {
        return minutes_and_more(seconds);
    }
    const Rounded number = round_to_three_digits(seconds);
    if (number.exponent < -9) {
        return print("%.3f ns", seconds * 1e9);
    }
    if (number.exponent < -6) {
        return in_unit(number, -9) + " ns";
    }
    if (number.exponent < -3) {
        return in_unit(number, -6) + " us";
    }
    if (number.exponent < 0) {
        return in_unit(number, -3) + " ms";
    }
    return in_unit(number, 0) + " s";
}

std::string format_count(uint64_t count)
{
    if (count >= 1000000) {
        return in_powers_of_thousand(count);
    }
    std::string text = std::to_string(count);
    if (text.size() > 3) {
        text.insert(text.size() - 3, 1, ',');
    }
    return text;
}

std::string counted(uint64_t count, const char* noun)
{
    return format_count(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string format_bytes(uint64_t bytes)
{
    return bytes < 1000 ? std::to_string(bytes) + " B" : in_powers_of_thousand(bytes) + "B";
}

std::string format_rfc3339(double unix_seconds)
{
    using namespace std::chrono;
    constexpr double kLast = 253402300799.999;  // 9999-12-31T23:59:59.999Z
    const double limited = unix_seconds >= 0 ? std::min(unix_seconds, kLast) : 0;
    const sys_time<milliseconds> moment(milliseconds(std::llround(limited * 1000)));
    const auto day = floor<days>(moment);
    const year_month_day date(day);
    const hh_mm_ss<milliseconds> time(moment - day);
    return print("%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                 static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                 static_cast<int>(time.seconds().count()), static_cast<int>(time.subseconds().count()));
}

}  // namespace sonde
