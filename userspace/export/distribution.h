// SPDX-License-Identifier: Apache-2.0
//
// Tables of distributions for a terminal: one row per histogram with count, total time and quantiles, and a
// small drawing of its shape over a time axis that all rows share. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "userspace/metrics/histogram.h"

namespace sonde {

// The logarithmic time axis of a drawing: `cells` columns, each `buckets_per_cell` buckets of schema 4 wide
// (16 make an octave). Cell k holds the values in
// (2^((first + k*b)/16), 2^((first + (k+1)*b)/16)] seconds, where b = buckets_per_cell.
struct Axis {
    int first = 0;
    int buckets_per_cell = 0;
    int cells = 0;

    // An axis from whole octave to whole octave around the buckets lowest..highest: one cell per octave;
    // finer if the header needs more room than that, coarser if `columns` are short. Where rounding calls for
    // it, it reaches further to the right. None if the header does not fit into `columns`.
    [[nodiscard]] static std::optional<Axis> fit(int lowest, int highest, int columns, bool utf8);

    // Left and right end, joined by a line; as wide as the axis: "1.91us------3.91ms".
    [[nodiscard]] std::string header(bool utf8) const;

    // One character per cell, its height proportional to the cell's count; the fullest cell is full height, a
    // cell with any count is never blank. Values of zero have no place on a logarithmic axis. REQUIRES: the
    // axis covers the histogram.
    [[nodiscard]] std::string draw(const Histogram& histogram, bool utf8) const;
};

struct DistributionRow {
    std::vector<std::string> labels;  // printable, already cut to length
    const Histogram* histogram;       // not owned, not null
};

// The lines of an aligned table, the header first, without newlines. `label_titles` heads the first columns;
// every row has as many labels. The lines are at most `width` columns wide: the drawing shrinks first, then
// p99.9, then p90, then the drawing itself goes, then labels are cut. REQUIRES: rows are not empty, width >=
// 80, at most three labels.
[[nodiscard]] std::vector<std::string> distribution_table(const std::vector<std::string>& label_titles,
                                                          const std::vector<DistributionRow>& rows, int width,
                                                          bool utf8);

}  // namespace sonde
