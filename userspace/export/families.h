// SPDX-License-Identifier: Apache-2.0
//
// What sonde knows of its metric families: the one table of their names, and of the words that describe them
// to Prometheus and to people. A family that is missing here is still exported, under its raw name.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "userspace/metrics/snapshot.h"

namespace sonde {

struct Family {
    std::string_view name;                    // sonde_tcp_rtt_seconds
    std::string_view help;                    // Prometheus HELP, one line
    std::string_view title;                   // for people: the heading of a section, the name of a counter
    std::string_view measurement;             // the ProbeStatus that its numbers come from; may be empty
    std::array<std::string_view, 3> columns;  // histograms: labels in the order of the columns, rest empty
    std::string_view nothing;                 // histograms: said if the probe works and nothing happened
    std::string_view note = {};               // histograms: what to bear in mind when reading the numbers
};

inline constexpr std::string_view kBlockLatency = "sonde_block_io_latency_seconds";
inline constexpr std::string_view kBlockBytes = "sonde_block_io_bytes_total";
inline constexpr std::string_view kBlockErrors = "sonde_block_io_errors_total";
inline constexpr std::string_view kEvents = "sonde_events_total";
inline constexpr std::string_view kEventsDiscarded = "sonde_events_discarded_total";
inline constexpr std::string_view kProbeRuns = "sonde_probe_runs_total";
inline constexpr std::string_view kProbeInfo = "sonde_probe_info";
inline constexpr std::string_view kProbeCost = "sonde_probe_cost_seconds_total";

// The measurement that has counters only, and what is said if none of them moved.
inline constexpr std::string_view kCountersMeasurement = "TCP counters";
inline constexpr std::string_view kNoCounters = "no retransmit, reset, failed connect or full listen queue";

// In the order in which a person reads them. The tables live as long as the program.
[[nodiscard]] std::span<const Family> histogram_families();
[[nodiscard]] std::span<const Family> counter_families();
[[nodiscard]] std::span<const Family> gauge_families();

// The family of that name, or null if it is not known.
[[nodiscard]] const Family* find_family(std::string_view name);

}  // namespace sonde
