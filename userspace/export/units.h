// SPDX-License-Identifier: Apache-2.0
//
// Numbers for people: three significant digits and a unit that fits, at most 8 columns wide, plain ASCII.
#pragma once

#include <cstdint>
#include <string>

namespace sonde {

// "0", "870 ns", "4.52 us", "12.3 ms", "1.24 s", "119 s"; then "3m05s" (from 120 s), "2h05m" (from 2 h),
// "3d04h" (from 48 h). Rounded to nearest. A negative or not finite number, which no duration is: "?".
[[nodiscard]] std::string format_seconds(double seconds);

// "950", "12,345", "999,999" in full; then "1.24 M", "12.3 G", ... in powers of 1000.
[[nodiscard]] std::string format_count(uint64_t count);

// The count with its noun: "1 event", "0 events", "12,345 events". REQUIRES: the plural of noun ends in s.
[[nodiscard]] std::string counted(uint64_t count, const char* noun);

// "950 B", "1.24 kB", "12.3 MB", ... in powers of 1000, as the units' names say.
[[nodiscard]] std::string format_bytes(uint64_t bytes);

// A moment in UTC as RFC 3339 has it, rounded to milliseconds: "2026-01-31T08:00:00.250Z". The years 1970 to
// 9999; what lies outside (or is not a number) becomes the nearest end.
[[nodiscard]] std::string format_rfc3339(double unix_seconds);

}  // namespace sonde
