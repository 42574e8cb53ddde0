// SPDX-License-Identifier: Apache-2.0
#include "userspace/metrics/snapshot.h"

#include <algorithm>
#include <utility>

namespace sonde {
namespace {

using Key = std::pair<std::string, Labels>;

template <class Series>
std::map<Key, const Series*> by_key(const std::vector<Series>& all)
{
    std::map<Key, const Series*> index;
    for (const Series& series : all) {
        index.emplace(Key{series.name, series.labels}, &series);
    }
    return index;
}

ProbeStatus probe_delta(ProbeStatus now, const ProbeStatus& before)
{
    now.events -= before.events;
    now.run_count -= before.run_count;
    now.run_time_ns -= before.run_time_ns;
    for (const auto& [reason, n] : before.discarded) {
        now.discarded[reason] -= n;
    }
    return now;
}

std::vector<CallFacts> calls_since(const std::vector<CallFacts>& before, std::vector<CallFacts> now)
{
    for (CallFacts& call : now) {
        const auto old = std::find_if(before.begin(), before.end(), [&call](const CallFacts& c) {
            return c.client == call.client && c.call == call.call;
        });
        call.begun -= old == before.end() ? 0 : std::min(old->begun, call.begun);
    }
    return now;
}

}  // namespace

const char* state_name(ProbeState state)
{
    switch (state) {
        case ProbeState::kOk:
            return "ok";
        case ProbeState::kDegraded:
            return "degraded";
        case ProbeState::kOff:
            return "off";
    }
    return "";
}

Snapshot advance(Snapshot& shown, Snapshot now)
{
    Snapshot d;
    d.start_unix = shown.duration_s == 0 ? now.start_unix : shown.start_unix + shown.duration_s;
    d.duration_s = now.duration_s - shown.duration_s;
    d.host = now.host;
    d.kernel = now.kernel;
    for (const ProbeStatus& probe : now.probes) {
        const auto old = std::find_if(shown.probes.begin(), shown.probes.end(),
                                      [&](const ProbeStatus& p) { return p.measurement == probe.measurement; });
        d.probes.push_back(old == shown.probes.end() ? probe : probe_delta(probe, *old));
    }
    const auto old_histograms = by_key(shown.histograms);
    for (HistogramSeries& series : now.histograms) {
        const auto old = old_histograms.find({series.name, series.labels});
        const Histogram before = old == old_histograms.end() ? Histogram() : old->second->histogram;
        Histogram grown = delta(series.histogram, before);
        // The difference may be below zero, if more has been shown than was there.
        grown.sum_ns = grown.nearest_sum(static_cast<int64_t>(series.histogram.sum_ns - before.sum_ns));
        series.histogram.sum_ns = before.sum_ns + grown.sum_ns;
        if (!grown.empty()) {
            d.histograms.push_back({series.name, series.labels, std::move(grown)});
        }
    }
    const auto old_counters = by_key(shown.counters);
    for (const CounterSeries& series : now.counters) {
        const auto old = old_counters.find({series.name, series.labels});
        const uint64_t grown = series.value - (old == old_counters.end() ? 0 : old->second->value);
        if (grown != 0) {
            d.counters.push_back({series.name, series.labels, grown});
        }
    }
    d.gauges = now.gauges;
    d.calls = calls_since(shown.calls, now.calls);
    shown = std::move(now);
    return d;
}

}  // namespace sonde
