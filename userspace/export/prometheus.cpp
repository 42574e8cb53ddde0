// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/prometheus.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "userspace/export/canonical.h"
#include "userspace/export/families.h"

namespace sonde {
namespace {

constexpr int kBucketsPerOctave = 1 << Histogram::kSchema;
constexpr uint64_t kNsPerSecond = 1000000000;

// Shortest text that reads back as the same number.
std::string number(double value)
{
    std::array<char, 32> text;
    const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() ? std::string(text.data(), end) : std::string("NaN");
}

// Exact decimal seconds: 1500000000 -> "1.5".
std::string exact_seconds(uint64_t ns)
{
    std::string fraction = std::to_string(kNsPerSecond + ns % kNsPerSecond).substr(1);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    return std::to_string(ns / kNsPerSecond) + (fraction.empty() ? "" : "." + fraction);
}

std::string escaped(std::string_view value)
{
    std::string out;
    for (const char c : value) {
        if (c == '\n') {
            out += "\\n";
            continue;
        }
        if (c == '\\' || c == '"') {
            out += '\\';
        }
        out += c;
    }
    return out;
}

std::string label_text(const Labels& labels)
{
    std::string out;
    for (const auto& [name, value] : labels) {
        out += (out.empty() ? "" : ",") + name + "=\"" + escaped(value) + "\"";
    }
    return out;
}

class Exposition {
  public:
    // HELP and TYPE, if the family is not the one of the call before.
    void family(const std::string& name, std::string_view type)
    {
        if (name == family_) {
            return;
        }
        family_ = name;
        const Family* known = find_family(name);
        out_ += "# HELP " + name + " ";
        out_ += known != nullptr ? known->help : "A metric without a description.";
        out_ += "\n# TYPE " + name + " ";
        out_ += type;
        out_ += "\n";
    }

    void sample(const std::string& name, const std::string& labels, const std::string& value)
    {
        out_ += name;
        if (!labels.empty()) {
            out_ += "{" + labels + "}";
        }
        out_ += " " + value + "\n";
    }

    void histogram(const HistogramSeries& series)
    {
        family(series.name, "histogram");
        const std::string labels = label_text(series.labels);
        const std::string le = labels + (labels.empty() ? "le=\"" : ",le=\"");
        const Histogram& h = series.histogram;
        uint64_t at_most = h.zero_count;
        auto bucket = h.buckets.begin();
        for (int exponent = kFirstLeExponent; exponent <= kLastLeExponent; ++exponent) {
            for (; bucket != h.buckets.end() && bucket->first <= exponent * kBucketsPerOctave; ++bucket) {
                at_most += bucket->second;
            }
            sample(series.name + "_bucket", le + number(std::exp2(exponent)) + "\"", std::to_string(at_most));
        }
        sample(series.name + "_bucket", le + "+Inf\"", std::to_string(h.count()));
        sample(series.name + "_sum", labels, exact_seconds(h.sum_ns));
        sample(series.name + "_count", labels, std::to_string(h.count()));
    }

    [[nodiscard]] std::string take() { return std::move(out_); }

  private:
    std::string out_;
    std::string family_;
};

// What the list of probes says, as counters.
void add_probe_counters(const std::vector<ProbeStatus>& probes, std::vector<CounterSeries>& counters)
{
    for (const ProbeStatus& probe : probes) {
        const Labels by_probe{{"probe", probe.measurement}};
        counters.push_back({std::string(kEvents), {{"measurement", probe.measurement}}, probe.events});
        for (const auto& [reason, n] : probe.discarded) {
            counters.push_back({std::string(kEventsDiscarded), {{"probe", probe.measurement}, {"reason", reason}}, n});
        }
        if (probe.run_count != 0) {
            counters.push_back({std::string(kProbeRuns), by_probe, probe.run_count});
            counters.push_back({std::string(kProbeCost), by_probe, probe.run_time_ns});
        }
    }
}

std::vector<ProbeStatus> sorted_by_measurement(std::vector<ProbeStatus> probes)
{
    std::sort(probes.begin(), probes.end(),
              [](const ProbeStatus& a, const ProbeStatus& b) { return a.measurement < b.measurement; });
    return probes;
}

}  // namespace

std::string to_prometheus(const Snapshot& snapshot)
{
    Snapshot all = snapshot;
    add_probe_counters(snapshot.probes, all.counters);
    all = canonical(all);
    Exposition out;
    for (const HistogramSeries& series : all.histograms) {
        out.histogram(series);
    }
    for (const CounterSeries& series : all.counters) {
        out.family(series.name, "counter");
        // The one counter that is kept in nanoseconds here.
        const bool is_time = series.name == kProbeCost;
        out.sample(series.name, label_text(series.labels),
                   is_time ? exact_seconds(series.value) : std::to_string(series.value));
    }
    for (const GaugeSeries& series : all.gauges) {
        out.family(series.name, "gauge");
        out.sample(series.name, label_text(series.labels), number(series.value));
    }
    std::set<Labels> told;  // those that differ in invalid bytes only are one series, of which there may be no two
    for (const ProbeStatus& probe : sorted_by_measurement(all.probes)) {
        const Labels labels{{"hook", probe.hook},
                            {"probe", probe.measurement},
                            {"reason", probe.reason},
                            {"status", state_name(probe.state)}};
        if (told.insert(labels).second) {
            out.family(std::string(kProbeInfo), "gauge");
            out.sample(std::string(kProbeInfo), label_text(labels), "1");
        }
    }
    return out.take();
}

}  // namespace sonde
