// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/slot_ledger.h"

#include <utility>

namespace sonde {

// What has come under the present name.
Histogram SlotLedger::Entry::present(size_t series) const
{
    return renamed ? delta(reading[series], under_old_names[series]) : reading[series];
}

// Decided once for a process and its name: a series never loses to "other" what it has shown.
ProcessKey SlotLedger::shown_as(const ProcessKey& key)
{
    if (known_.contains(key) || known_.size() < kMaxKeys) {
        known_.insert(key);
        return key;
    }
    ++without_name_;
    return {"other", 0};
}

void SlotLedger::settle(const Entry& entry)
{
    Settled& into = settled_[entry.key];
    into.grown = true;
    for (size_t series = 0; series < SONDE_SCHED_SERIES; ++series) {
        into.histograms[series].merge(entry.present(series));
    }
}

void SlotLedger::update(uint32_t slot, const ProcessKey& key, SchedHistograms reading)
{
    const auto [at, is_new] = open_.try_emplace(slot);
    Entry& entry = at->second;
    if (!is_new && entry.called != key) {
        settle(entry);
        entry.under_old_names = entry.reading;
        entry.renamed = true;
    }
    if (is_new || entry.called != key) {
        entry.called = key;
        entry.key = shown_as(key);
    }
    entry.reading = std::move(reading);
}

void SlotLedger::close(uint32_t slot, const ProcessKey& key, SchedHistograms reading)
{
    update(slot, key, std::move(reading));
    const auto at = open_.find(slot);
    settle(at->second);
    open_.erase(at);
}

// A name that has not grown since the last reading adds nothing to the difference between that and the next one; if it
// comes back it begins at zero, and is not in the reading before.
void SlotLedger::forget_ended()
{
    std::set<ProcessKey> borne;
    for (const auto& [slot, entry] : open_) {
        borne.insert(entry.key);
    }
    for (auto at = settled_.begin(); at != settled_.end();) {
        auto& [key, settled] = *at;
        if (settled.grown || borne.contains(key)) {
            settled.grown = false;
            ++at;
            continue;
        }
        for (size_t series = 0; series < SONDE_SCHED_SERIES; ++series) {
            forgotten_[series] += settled.histograms[series].count();
        }
        known_.erase(key);
        at = settled_.erase(at);
    }
}

ProcessTotals SlotLedger::read()
{
    if (ended_ == EndedNames::kForget) {
        forget_ended();
    }
    ProcessTotals totals;
    for (const auto& [key, settled] : settled_) {
        totals[key] = settled.histograms;
    }
    for (const auto& [slot, entry] : open_) {
        SchedHistograms& into = totals[entry.key];
        for (size_t series = 0; series < SONDE_SCHED_SERIES; ++series) {
            into[series].merge(entry.present(series));
        }
    }
    return totals;
}

uint64_t SlotLedger::count(size_t series, const ProcessTotals& totals) const
{
    uint64_t count = forgotten_[series];
    for (const auto& [key, histograms] : totals) {
        count += histograms[series].count();
    }
    return count;
}

}  // namespace sonde
