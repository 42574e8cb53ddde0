// SPDX-License-Identifier: Apache-2.0
//
// Whatever names hold, the JSON is one line of ASCII that reads back as the same names and numbers.
#include "userspace/export/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/fuzz/hostile_snapshot.h"
#include "tests/fuzz/require.h"
#include "userspace/export/utf8.h"

using namespace sonde;
using fuzz::require;
using nlohmann::json;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const Snapshot snapshot = fuzz::any_snapshot(data, size);
    const std::string text = to_json(snapshot);
    const auto is_plain = [](char c) { return c >= 0x20 && c < 0x7F; };
    require(text.back() == '\n' && std::all_of(text.begin(), text.end() - 1, is_plain), "a line of ASCII");
    const json document = json::parse(text);  // throws, which libFuzzer takes for the crash that it is
    require(document["host"] == to_valid_utf8(snapshot.host), "the host's name comes back");
    require(document["probes"].size() == snapshot.probes.size(), "all probes come back");
    for (size_t i = 0; i < snapshot.probes.size(); ++i) {
        require(document["probes"][i]["reason"] == to_valid_utf8(snapshot.probes[i].reason), "with their reasons");
    }
    for (const HistogramSeries& series : snapshot.histograms) {
        json labels = json::object();
        for (const auto& [name, value] : series.labels) {
            labels[name] = to_valid_utf8(value);
        }
        const auto found = std::ranges::find_if(document["histograms"], [&](const json& each) {
            return each["name"] == series.name && each["labels"] == labels;
        });
        require(found != document["histograms"].end(), "each series comes back under its labels");
        require((*found)["count"].get<uint64_t>() >= series.histogram.count(), "with all that was counted");
    }
    return 0;
}
