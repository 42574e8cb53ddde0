// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
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

// What becomes of the numbers of names that nobody bears any more.
enum class EndedNames {
    kKeep,    // they stay in the totals for ever
    kForget,  // they leave the totals once a reading has shown them: for who takes differences of readings
};

// Turns readings of slots, which only grow but change their names (exec, prctl) and their processes (a slot is
// given back and reused), into totals per name that only grow, until a name is forgotten. What a process did before it
// was seen under a new name stays with the old one. Processes may be many and call themselves anything: past kMaxKeys
// names, the processes that come with a new one are "other" for as long as they keep it. Pure; one thread.
class SlotLedger {
  public:
    static constexpr size_t kMaxKeys = 10000;

    explicit SlotLedger(EndedNames ended = EndedNames::kKeep) : ended_(ended) {}

    // A new reading of a slot: cumulative since the slot was taken. REQUIRES: it does not shrink between readings.
    void update(uint32_t slot, const ProcessKey& key, SchedHistograms reading);
    // The last reading of a slot, whose process has ended.
    void close(uint32_t slot, const ProcessKey& key, SchedHistograms reading);

    // The totals for one reading; with kForget, of all names that somebody bears or that have grown since the last
    // call.
    [[nodiscard]] ProcessTotals read();
    // Values of one series under all names, the forgotten ones among them.
    [[nodiscard]] uint64_t count(size_t series, const ProcessTotals& totals) const;
    // Processes that were counted as "other" because there were too many names.
    [[nodiscard]] uint64_t without_name() const { return without_name_; }

  private:
    struct Entry {
        ProcessKey called;  // what it calls itself
        ProcessKey key;     // under what it is shown: that, or "other"
        SchedHistograms reading;
        SchedHistograms under_old_names;
        bool renamed = false;

        [[nodiscard]] Histogram present(size_t series) const;
    };
    struct Settled {
        SchedHistograms histograms;
        bool grown = false;  // since the last reading
    };
    [[nodiscard]] ProcessKey shown_as(const ProcessKey& key);
    void settle(const Entry& entry);
    void forget_ended();

    EndedNames ended_;
    std::map<uint32_t, Entry> open_;
    std::map<ProcessKey, Settled> settled_;
    std::set<ProcessKey> known_;  // the keys of both
    std::array<uint64_t, SONDE_SCHED_SERIES> forgotten_{};
    uint64_t without_name_ = 0;
};

}  // namespace sonde
