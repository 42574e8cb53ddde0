// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/json.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "userspace/export/canonical.h"
#include "userspace/export/units.h"

namespace sonde {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<const char*, double>, 4> kQuantiles{
    {{"0.5", 0.5}, {"0.9", 0.9}, {"0.99", 0.99}, {"0.999", 0.999}}};

double seconds(uint64_t ns)
{
    return static_cast<double>(ns) / 1e9;
}

// An empty map must become {} and not null.
template <class Map>
Json object(const Map& map)
{
    Json out = Json::object();
    for (const auto& [key, value] : map) {
        out[key] = value;
    }
    return out;
}

Json probe_json(const ProbeStatus& probe)
{
    return Json{{"measurement", probe.measurement},
                {"hook", probe.hook},
                {"status", state_name(probe.state)},
                {"reason", probe.reason},
                {"events", probe.events},
                {"discarded", object(probe.discarded)},
                {"run_count", probe.run_count},
                {"run_time_ns", probe.run_time_ns}};
}

Json histogram_json(const HistogramSeries& series)
{
    const Histogram& h = series.histogram;
    Json quantiles = Json::object();
    for (const auto& [name, q] : kQuantiles) {
        const std::optional<double> value = h.quantile(q);
        quantiles[name] = value ? Json(*value) : Json(nullptr);
    }
    Json buckets = Json::array();
    for (const auto& [index, n] : h.buckets) {
        buckets.push_back(Json::array({index, n}));
    }
    return Json{{"name", series.name},
                {"labels", object(series.labels)},
                {"unit", "seconds"},
                {"schema", Histogram::kSchema},
                {"count", h.count()},
                {"sum", seconds(h.sum_ns)},
                {"min", h.empty() ? Json(nullptr) : Json(seconds(h.min_ns))},
                {"max", h.empty() ? Json(nullptr) : Json(seconds(h.max_ns))},
                {"quantiles", std::move(quantiles)},
                {"relative_error", Histogram::kRelativeError},
                {"zero_count", h.zero_count},
                {"clamped", h.clamped},
                {"buckets", std::move(buckets)}};
}

}  // namespace

std::string to_json(const Snapshot& snapshot)
{
    const Snapshot s = canonical(snapshot);
    Json probes = Json::array();
    for (const ProbeStatus& probe : s.probes) {
        probes.push_back(probe_json(probe));
    }
    Json histograms = Json::array();
    for (const HistogramSeries& series : s.histograms) {
        histograms.push_back(histogram_json(series));
    }
    Json counters = Json::array();
    for (const CounterSeries& series : s.counters) {
        counters.push_back({{"name", series.name}, {"labels", object(series.labels)}, {"value", series.value}});
    }
    Json document{{"schema", "sonde.trace/1"},
                  {"host", s.host},
                  {"kernel", s.kernel},
                  {"start", format_rfc3339(s.start_unix)},
                  {"duration_s", s.duration_s},
                  {"probes", std::move(probes)},
                  {"histograms", std::move(histograms)},
                  {"counters", std::move(counters)}};
    for (const GaugeSeries& series : s.gauges) {
        document["gauges"].push_back(
            {{"name", series.name}, {"labels", object(series.labels)}, {"value", series.value}});
    }
    for (const CallFacts& facts : s.calls) {
        document["calls"].push_back({{"client", facts.client},
                                     {"call", facts.call},
                                     {"question", facts.question},
                                     {"begun", facts.begun},
                                     {"let_go", facts.let_go},
                                     {"within", facts.within.empty() ? Json(nullptr) : Json(facts.within)}});
    }
    constexpr int kOneLine = -1;
    constexpr bool kAsciiOnly = true;
    return document.dump(kOneLine, ' ', kAsciiOnly) + "\n";
}

}  // namespace sonde
