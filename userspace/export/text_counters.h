// SPDX-License-Identifier: Apache-2.0
//
// The counters in the report for a person. Series whose value is 0 are left out.
#pragma once

#include <string>

#include "userspace/export/text_page.h"
#include "userspace/metrics/snapshot.h"

namespace sonde {

// "peer=public, port=30303"; each value as TextPage::label() has it.
[[nodiscard]] std::string joined_labels(const TextPage& page, const Labels& labels);

// Whether write_counters has a counter to show: any but those of block I/O.
[[nodiscard]] bool has_counters(const Snapshot& s);

// One line per counter, known families first, each sorted by value; says so if there is nothing to show.
void write_counters(TextPage& page, const Snapshot& s);

// One line per device and operation: bytes, rate, errors. REQUIRES: `s` is canonical.
void write_block_traffic(TextPage& page, const Snapshot& s);

}  // namespace sonde
