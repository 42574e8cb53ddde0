// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "bpf/abi/sched.h"
#include "userspace/metrics/histogram.h"

namespace sonde {

using SchedHistograms = std::array<Histogram, SONDE_SCHED_SERIES>;

// Under what the numbers of a process are shown.
struct ProcessKey {
    std::string name;
    uint32_t pid = 0;  // 0 unless series are per process
    auto operator<=>(const ProcessKey&) const = default;
};
using ProcessTotals = std::map<ProcessKey, SchedHistograms>;

// Turns readings of slots, which only grow but change their names (exec, prctl) and their processes (a slot is
// given back and reused), into totals per name that only grow. What a process did before it was seen under a new
// name stays with the old one. Processes may be many and call themselves anything: past kMaxKeys names the rest is
// "other". Pure; one thread.
class SlotLedger {
  public:
    static constexpr size_t kMaxKeys = 10000;

    // A new reading of a slot: cumulative since the slot was taken. REQUIRES: it does not shrink between readings.
    void update(uint32_t slot, const ProcessKey& key, SchedHistograms reading);
    // The last reading of a slot, whose process has ended.
    void close(uint32_t slot, const ProcessKey& key, SchedHistograms reading);

    [[nodiscard]] ProcessTotals totals() const;

  private:
    struct Entry {
        ProcessKey key;
        SchedHistograms reading;
        SchedHistograms under_old_names;
        bool renamed = false;

        [[nodiscard]] Histogram present(size_t series) const;
    };
    static void credit(ProcessTotals& totals, const ProcessKey& key, const Entry& entry);

    std::map<uint32_t, Entry> open_;
    ProcessTotals settled_;
};

}  // namespace sonde
