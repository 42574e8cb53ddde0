// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/parse.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string>

namespace sonde {
namespace {

struct Unit {
    std::string_view name;
    double seconds;
};

constexpr std::array<Unit, 7> kUnits{{
    {"", 1},
    {"s", 1},
    {"ms", 1e-3},
    {"us", 1e-6},
    {"m", 60},
    {"min", 60},
    {"h", 3600},
}};
constexpr double kMaxSeconds = 31 * 86400.0;

}  // namespace

Result<std::chrono::nanoseconds> parse_duration(std::string_view text)
{
    const Error bad{EINVAL, "'" + std::string(text) + "' is not a duration: write 10s, 500ms, 2m or 1h"};
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || !std::isfinite(number)) {
        return bad;
    }
    const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
    for (const Unit& known : kUnits) {
        if (unit == known.name) {
            const double seconds = number * known.seconds;
            if (seconds < 1e-9 || seconds > kMaxSeconds) {
                return Error{ERANGE, "'" + std::string(text) + "' is out of range: more than 0 and at most 31 days"};
            }
            return std::chrono::nanoseconds(std::llround(seconds * 1e9));
        }
    }
    return bad;
}

Result<pid_t> parse_pid(std::string_view text)
{
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
    if (error != std::errc() || end != text.data() + text.size() || pid <= 0) {
        return Error{EINVAL, std::string(text) + ": a pid is a whole number greater than 0"};
    }
    return pid;
}

}  // namespace sonde
