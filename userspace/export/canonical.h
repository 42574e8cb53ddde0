// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "userspace/metrics/snapshot.h"

namespace sonde {

// The form of a snapshot that all exporters start from: every string is valid UTF-8; histograms and counters
// are sorted by name, then labels; series that bear the same name and labels are merged into one. Such twins
// arise from names that differ only in invalid bytes (Linux cuts thread names after 15 bytes, in the middle
// of a character if need be), and Prometheus would refuse the whole scrape for them. Probes keep their order.
[[nodiscard]] Snapshot canonical(const Snapshot& snapshot);

}  // namespace sonde
