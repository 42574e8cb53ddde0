// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "userspace/metrics/snapshot.h"

namespace sonde {

// The classic buckets that a scrape gets: upper bounds 2^kFirstLeExponent s (0.95 us) to 2^kLastLeExponent s
// (32 s), every power of two, then +Inf. Each is a bucket bound of the histograms' schema (every 16th), so
// the cumulative counts are exact. Longer waits are in +Inf only; sum and count hold everything.
inline constexpr int kFirstLeExponent = -20;
inline constexpr int kLastLeExponent = 5;

// The Prometheus text exposition format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/). Series are cumulative since the start of
// the snapshot, so it has to be one that was read, not a delta. HELP and TYPE stand once before each family;
// order: histograms, then counters, see canonical(). Label values are valid UTF-8, but may hold control
// characters other than newline, which the format cannot escape.
//
// From the list of probes come sonde_events_total and sonde_events_discarded_total and, for probes whose run
// statistics the kernel keeps, sonde_probe_runs_total and sonde_probe_cost_seconds_total: an absent series
// says "not known", where a 0 would claim that the probe is free.
//
// REQUIRES: names of metrics and labels are legal in Prometheus; no label is called "le".
[[nodiscard]] std::string to_prometheus(const Snapshot& snapshot);

}  // namespace sonde
