// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include "userspace/metrics/snapshot.h"

namespace sonde::fuzz {

inline Histogram any_histogram(FuzzedDataProvider& input)
{
    Histogram histogram;
    for (int left = input.ConsumeIntegralInRange(0, 4); left > 0; --left) {
        histogram.record(input.ConsumeIntegral<uint64_t>() >> input.ConsumeIntegralInRange(0, 63));
    }
    return histogram;
}

// Any bytes as names of processes, devices, hosts, reasons; any numbers. The names of metrics and labels are ours, as
// in the program.
inline Snapshot any_snapshot(const uint8_t* data, size_t size)
{
    FuzzedDataProvider input(data, size);
    const auto text = [&input] { return input.ConsumeRandomLengthString(40); };
    Snapshot snapshot;
    snapshot.duration_s = input.ConsumeFloatingPointInRange(0.0, 1e9);
    snapshot.start_unix = input.ConsumeFloatingPoint<double>();
    snapshot.host = text();
    snapshot.kernel = text();
    for (int left = input.ConsumeIntegralInRange(0, 3); left > 0; --left) {
        const auto state = static_cast<ProbeState>(input.ConsumeIntegralInRange(0, 2));
        snapshot.probes.push_back({text(),
                                   text(),
                                   state,
                                   text(),
                                   input.ConsumeIntegral<uint64_t>(),
                                   {{text(), 1}, {text(), 2}},
                                   input.ConsumeIntegral<uint64_t>(),
                                   7});
    }
    for (int left = input.ConsumeIntegralInRange(0, 4); left > 0; --left) {
        const bool scheduler = input.ConsumeBool();
        const Labels labels = scheduler ? Labels{{"process", text()}, {"cause", text()}}
                                        : Labels{{"device", text()}, {"op", text()}, {"stage", text()}};
        snapshot.histograms.push_back(
            {scheduler ? "sonde_sched_runq_latency_seconds" : "sonde_block_io_latency_seconds", labels,
             any_histogram(input)});
    }
    for (int left = input.ConsumeIntegralInRange(0, 3); left > 0; --left) {
        const bool block = input.ConsumeBool();
        const Labels labels = block ? Labels{{"device", text()}, {"op", text()}} : Labels{{"port", text()}};
        snapshot.counters.push_back({block ? "sonde_block_io_bytes_total" : "sonde_tcp_retransmits_total", labels,
                                     input.ConsumeIntegral<uint64_t>()});
    }
    return snapshot;
}

}  // namespace sonde::fuzz
