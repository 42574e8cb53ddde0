// SPDX-License-Identifier: Apache-2.0
//
// Parsers of the small values that people type. Pure functions.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string_view>

#include "userspace/base/result.h"

namespace sonde {

// "10", "10s", "500ms", "2m", "1h", "1.5s": a plain number is seconds. From 1 ns to 31 days.
[[nodiscard]] Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

// A whole decimal number greater than 0, and nothing else.
[[nodiscard]] Result<pid_t> parse_pid(std::string_view text);

}  // namespace sonde
