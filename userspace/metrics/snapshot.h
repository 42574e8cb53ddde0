// SPDX-License-Identifier: Apache-2.0
//
// Snapshot: everything that one reading of the probes gives, as plain values. It is what flows from the
// probes to the exporters (and later to verdicts and the store). Counters and histograms are cumulative since
// the probes were attached, gauges as they are now; `advance` from one to the next gives an interval. No thread
// rule: values only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "userspace/metrics/histogram.h"

namespace sonde {

// Label name -> value. Values may hold any bytes (a process may call itself anything): exporters escape them.
using Labels = std::map<std::string, std::string>;

struct HistogramSeries {
    std::string name;  // as in Prometheus: sonde_sched_runq_latency_seconds
    Labels labels;
    Histogram histogram;
};

struct CounterSeries {
    std::string name;
    Labels labels;
    uint64_t value = 0;
};

// Families that the calls inside of processes have in common.
inline constexpr const char* kClientCalls = "sonde_client_call_seconds";
inline constexpr const char* kClientEvents = "sonde_client_events_total";
inline constexpr const char* kClientInFlight = "sonde_client_calls_in_flight";
inline constexpr const char* kClientLongest = "sonde_client_longest_in_flight_seconds";

// A value that goes up and down.
struct GaugeSeries {
    std::string name;
    Labels labels;
    double value = 0;
};

// What is known of a call that sonde_client_call_seconds bears as a label.
struct CallFacts {
    std::string client;
    std::string call;
    std::string question;  // in plain words; may be empty
    std::string within;    // the call of the same client that makes this one; may be empty
    uint64_t begun = 0;    // how often it was called, ended or not, in all processes
    bool let_go = false;   // in some process, before the end: there is more than was counted
};

enum class ProbeState { kOk, kDegraded, kOff };
// "ok", "degraded", "off": as in all outputs.
[[nodiscard]] const char* state_name(ProbeState state);

// One measurement: where its numbers come from, what they cost, what was lost on the way.
struct ProbeStatus {
    std::string measurement;  // "run-queue latency"
    std::string hook;         // "tp_btf/sched_switch, tp_btf/sched_wakeup"; empty when off
    ProbeState state = ProbeState::kOff;
    std::string reason;                         // why degraded or off; empty when ok
    uint64_t events = 0;                        // events that became part of a number
    std::map<std::string, uint64_t> discarded;  // reason -> events seen but not measurable
    uint64_t run_count = 0;                     // BPF program runs and their time: 0 unless the kernel keeps
    uint64_t run_time_ns = 0;                   // statistics (kernel.bpf_stats_enabled, or sonde asked for it)
};

struct Snapshot {
    double start_unix = 0;  // wall clock at which measuring began, seconds
    double duration_s = 0;  // monotonic time since then
    std::string host;
    std::string kernel;
    std::vector<ProbeStatus> probes;
    std::vector<HistogramSeries> histograms;
    std::vector<CounterSeries> counters;
    std::vector<GaugeSeries> gauges;
    std::vector<CallFacts> calls;
};

// What came since `shown`, an earlier reading of the same session, or since the beginning of the session if that is
// new; series without news are left out. `shown` becomes `now`.
//
// A value that is recorded while a histogram is read may be in its buckets and not yet in its sum. Neither of the two
// intervals is to say what cannot be: where the buckets contradict the sum, the nearest sum that they allow is given,
// and `shown` keeps what was given, so that the next interval makes up for it and the sums of all are right.
[[nodiscard]] Snapshot advance(Snapshot& shown, Snapshot now);

}  // namespace sonde
