// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "userspace/metrics/snapshot.h"

namespace sonde {

struct TextStyle {
    bool color = false;                 // ANSI colours
    int width = 0;                      // columns of the terminal; 0: not known, 100 are taken
    int max_rows_per_measurement = 10;  // 0: all
    bool utf8 = false;                  // block characters and other UTF-8 may be written, else only ASCII
};

// A report for a person: a header; a section per measurement with hook, events, discards and a table of
// distributions, sorted by total time; counters; and last the measurements that are off or degraded, with the
// reason. Ends with '\n'; no line is wider than style.width if that is >= 80 (a smaller width is taken as
// 80). Strings from outside pass printable(), so they cannot reach the terminal as control characters.
[[nodiscard]] std::string to_text(const Snapshot& snapshot, const TextStyle& style);

}  // namespace sonde
