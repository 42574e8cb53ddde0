// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "userspace/export/text_page.h"
#include "userspace/metrics/snapshot.h"

namespace sonde {

// The calls inside of processes, a table for each client and process name: what calls what as a tree, as far as it is
// known, in the order of the time that they account for; how often they come, and which part of the time of the call
// above them they are; what is under way; what they are counted as. REQUIRES: `s` is canonical.
void write_calls(TextPage& page, const Snapshot& s, const std::vector<const HistogramSeries*>& list);

}  // namespace sonde
