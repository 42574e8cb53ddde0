// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/export_sample.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace sonde {
namespace {

void record(Histogram& histogram, uint64_t ns, uint64_t times)
{
    for (uint64_t i = 0; i < times; ++i) {
        histogram.record(ns);
    }
}

ProbeState state_of(const std::string& status)
{
    return status == "ok" ? ProbeState::kOk : status == "degraded" ? ProbeState::kDegraded : ProbeState::kOff;
}

}  // namespace

std::string golden(const std::string& name)
{
    const std::string path = std::string(SONDE_FIXTURES) + "/export/" + name;
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw std::runtime_error("cannot open " + path);
    }
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

Histogram histogram_of(std::initializer_list<std::pair<uint64_t, uint64_t>> values)
{
    Histogram histogram;
    for (const auto& [ns, times] : values) {
        record(histogram, ns, times);
    }
    return histogram;
}

bool has_line(const std::string& text, const std::string& line)
{
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

Snapshot sample_snapshot()
{
    const nlohmann::json sample = nlohmann::json::parse(golden("sample.json"));
    Snapshot s;
    s.start_unix = sample.at("start_unix");
    s.duration_s = sample.at("duration_s");
    s.host = sample.at("host");
    s.kernel = sample.at("kernel");
    for (const auto& probe : sample.at("probes")) {
        s.probes.push_back({probe.at("measurement"), probe.at("hook"), state_of(probe.at("status")), probe.at("reason"),
                            probe.at("events"), probe.at("discarded"), probe.at("run_count"), probe.at("run_time_ns")});
    }
    for (const auto& series : sample.at("histograms")) {
        HistogramSeries out{series.at("name"), series.at("labels"), {}};
        for (const auto& value : series.at("values")) {
            record(out.histogram, value.at(0), value.at(1));
        }
        s.histograms.push_back(std::move(out));
    }
    for (const auto& series : sample.at("counters")) {
        s.counters.push_back({series.at("name"), series.at("labels"), series.at("value")});
    }
    return s;
}

}  // namespace sonde
