// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/slot_ledger.h"

#include <utility>

namespace sonde {

// What has come under the present name.
Histogram SlotLedger::Entry::present(size_t series) const
{
    return renamed ? delta(reading[series], under_old_names[series]) : reading[series];
}

void SlotLedger::credit(ProcessTotals& totals, const ProcessKey& key, const Entry& entry)
{
    const bool full = totals.size() >= kMaxKeys && !totals.contains(key);
    SchedHistograms& into = totals[full ? ProcessKey{"other", 0} : key];
    for (size_t series = 0; series < SONDE_SCHED_SERIES; ++series) {
        into[series].merge(entry.present(series));
    }
}

void SlotLedger::update(uint32_t slot, const ProcessKey& key, SchedHistograms reading)
{
    const auto [at, is_new] = open_.try_emplace(slot);
    Entry& entry = at->second;
    if (!is_new && entry.key != key) {
        credit(settled_, entry.key, entry);
        entry.under_old_names = entry.reading;
        entry.renamed = true;
    }
    entry.key = key;
    entry.reading = std::move(reading);
}

void SlotLedger::close(uint32_t slot, const ProcessKey& key, SchedHistograms reading)
{
    update(slot, key, std::move(reading));
    const auto at = open_.find(slot);
    credit(settled_, at->second.key, at->second);
    open_.erase(at);
}

ProcessTotals SlotLedger::totals() const
{
    ProcessTotals totals = settled_;
    for (const auto& [slot, entry] : open_) {
        credit(totals, entry.key, entry);
    }
    return totals;
}

}  // namespace sonde
