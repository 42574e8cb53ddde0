// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/canonical.h"

#include <algorithm>
#include <utility>

#include "userspace/export/utf8.h"

namespace sonde {
namespace {

using Key = std::pair<std::string, Labels>;

Key valid_key(const std::string& name, const Labels& labels)
{
    Key key{to_valid_utf8(name), {}};
    for (const auto& [label, value] : labels) {
        key.second[to_valid_utf8(label)] = to_valid_utf8(value);
    }
    return key;
}

ProbeStatus valid_probe(const ProbeStatus& probe)
{
    ProbeStatus valid = probe;
    valid.measurement = to_valid_utf8(probe.measurement);
    valid.hook = to_valid_utf8(probe.hook);
    valid.reason = to_valid_utf8(probe.reason);
    valid.discarded.clear();
    for (const auto& [reason, n] : probe.discarded) {
        valid.discarded[to_valid_utf8(reason)] += n;
    }
    return valid;
}

}  // namespace

Snapshot canonical(const Snapshot& snapshot)
{
    Snapshot out;
    out.start_unix = snapshot.start_unix;
    out.duration_s = snapshot.duration_s;
    out.host = to_valid_utf8(snapshot.host);
    out.kernel = to_valid_utf8(snapshot.kernel);
    for (const ProbeStatus& probe : snapshot.probes) {
        out.probes.push_back(valid_probe(probe));
    }
    std::map<Key, Histogram> histograms;
    for (const HistogramSeries& series : snapshot.histograms) {
        histograms[valid_key(series.name, series.labels)].merge(series.histogram);
    }
    for (auto& [key, histogram] : histograms) {
        out.histograms.push_back({key.first, key.second, std::move(histogram)});
    }
    std::map<Key, uint64_t> counters;
    for (const CounterSeries& series : snapshot.counters) {
        counters[valid_key(series.name, series.labels)] += series.value;
    }
    for (const auto& [key, value] : counters) {
        out.counters.push_back({key.first, key.second, value});
    }
    std::map<Key, double> gauges;
    for (const GaugeSeries& series : snapshot.gauges) {
        // Of twins the larger one: the sum of two ages would be none.
        double& value = gauges.emplace(valid_key(series.name, series.labels), series.value).first->second;
        value = std::max(value, series.value);
    }
    for (const auto& [key, value] : gauges) {
        out.gauges.push_back({key.first, key.second, value});
    }
    std::map<std::pair<std::string, std::string>, CallFacts> calls;
    for (const CallFacts& facts : snapshot.calls) {
        const CallFacts valid{to_valid_utf8(facts.client),
                              to_valid_utf8(facts.call),
                              to_valid_utf8(facts.question),
                              to_valid_utf8(facts.within),
                              facts.begun,
                              facts.let_go};
        const auto [known, is_new] = calls.try_emplace({valid.client, valid.call}, valid);
        known->second.begun += is_new ? 0 : valid.begun;
        known->second.let_go |= valid.let_go;
    }
    for (auto& [name, facts] : calls) {
        out.calls.push_back(std::move(facts));
    }
    return out;
}

}  // namespace sonde
