// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "userspace/metrics/snapshot.h"

namespace sonde {

// One JSON document of the kind "sonde.trace/1", described by schema/trace-1.schema.json: one line that ends
// with '\n', so that several make JSON Lines. Pure ASCII (other characters are \u escapes), hence safe on a
// terminal; valid whatever bytes the strings of the snapshot hold. Order: see canonical().
//
// Times are in seconds. sum, min and max are doubles: round(x * 1e9) gives the exact nanoseconds back up to
// 2^52 ns (52 days); larger sums have a relative error of at most 2e-16. A histogram without values has null
// for min, max and all quantiles. Values counted in `clamped` are in the last bucket, which is too low for
// them: relative_error does not hold for a quantile whose rank falls on one.
[[nodiscard]] std::string to_json(const Snapshot& snapshot);

}  // namespace sonde
