// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/slot_ledger.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

SchedHistograms on_cpu(std::initializer_list<uint64_t> values)
{
    SchedHistograms histograms;
    for (const uint64_t ns : values) {
        histograms[SONDE_ONCPU].record(ns);
    }
    return histograms;
}

uint64_t count_of(SlotLedger& ledger, const std::string& name)
{
    const ProcessTotals totals = ledger.read();
    const auto at = totals.find({name, 0});
    return at == totals.end() ? 0 : at->second[SONDE_ONCPU].count();
}

TEST(SlotLedger, MergesProcessesOfOneName)
{
    SlotLedger ledger;
    ledger.update(1, {"geth", 0}, on_cpu({10, 20}));
    ledger.update(2, {"geth", 0}, on_cpu({30}));
    EXPECT_EQ(count_of(ledger, "geth"), 3U);
}

TEST(SlotLedger, TakesTheNewestReadingOfASlot)
{
    SlotLedger ledger;
    ledger.update(1, {"geth", 0}, on_cpu({10}));
    ledger.update(1, {"geth", 0}, on_cpu({10, 20}));
    EXPECT_EQ(count_of(ledger, "geth"), 2U);
}

TEST(SlotLedger, LeavesWithTheOldNameWhatCameUnderIt)
{
    SlotLedger ledger;
    ledger.update(1, {"bash", 0}, on_cpu({10, 20}));
    ledger.update(1, {"sleep", 0}, on_cpu({10, 20, 5000}));
    EXPECT_EQ(count_of(ledger, "bash"), 2U);
    EXPECT_EQ(count_of(ledger, "sleep"), 1U);
    EXPECT_EQ((ledger.read().at({"sleep", 0})[SONDE_ONCPU].sum_ns), 5000U);
    ledger.close(1, {"third", 0}, on_cpu({10, 20, 5000, 70000}));
    EXPECT_EQ(count_of(ledger, "bash"), 2U);
    EXPECT_EQ(count_of(ledger, "sleep"), 1U);
    EXPECT_EQ(count_of(ledger, "third"), 1U);
}

TEST(SlotLedger, KeepsEndedProcessesWhenTheirSlotIsReused)
{
    SlotLedger ledger;
    ledger.close(1, {"true", 0}, on_cpu({10}));
    ledger.update(1, {"false", 0}, on_cpu({30, 40}));
    EXPECT_EQ(count_of(ledger, "true"), 1U);
    EXPECT_EQ(count_of(ledger, "false"), 2U);
}

TEST(SlotLedger, LosesNamesAndNoCountsWhenThereAreTooMany)
{
    SlotLedger ledger;
    const uint32_t processes = SlotLedger::kMaxKeys + 7;
    for (uint32_t i = 0; i < processes; ++i) {
        ledger.close(1, {"p" + std::to_string(i), 0}, on_cpu({10}));
    }
    uint64_t count = 0;
    for (const auto& [key, histograms] : ledger.read()) {
        count += histograms[SONDE_ONCPU].count();
    }
    EXPECT_EQ(count, processes);
    EXPECT_EQ(count_of(ledger, "other"), 7U);
    EXPECT_EQ(ledger.without_name(), 7U);
}

// A name that came late is not shown at first and as "other" later: what is counted would go down.
TEST(SlotLedger, DecidesOnceWhetherANameIsOneTooMany)
{
    SlotLedger ledger;
    ledger.update(1, {"early", 0}, on_cpu({10}));
    for (uint32_t i = 1; i < SlotLedger::kMaxKeys; ++i) {
        ledger.close(2, {"p" + std::to_string(i), 0}, on_cpu({10}));
    }
    ledger.update(2, {"late", 0}, on_cpu({10}));
    ledger.update(2, {"late", 0}, on_cpu({10, 20}));
    ledger.update(1, {"early", 0}, on_cpu({10, 20, 30}));
    EXPECT_EQ(count_of(ledger, "early"), 3U);
    EXPECT_EQ(count_of(ledger, "late"), 0U);
    EXPECT_EQ(count_of(ledger, "other"), 2U);
    EXPECT_EQ(ledger.without_name(), 1U);
}

TEST(SlotLedger, ForgetsEndedNamesAfterTheReadingThatShowedThem)
{
    SlotLedger ledger(EndedNames::kForget);
    ledger.close(1, {"ended", 0}, on_cpu({10}));
    ledger.update(2, {"alive", 0}, on_cpu({30}));
    EXPECT_TRUE(ledger.read().contains({"ended", 0}));
    const ProcessTotals later = ledger.read();
    EXPECT_FALSE(later.contains({"ended", 0}));
    EXPECT_TRUE(later.contains({"alive", 0}));
    EXPECT_EQ(ledger.count(SONDE_ONCPU, later), 2U);

    // Back under the same name: from zero, in a reading whose predecessor did not have it.
    ledger.update(1, {"ended", 0}, on_cpu({40}));
    EXPECT_EQ(count_of(ledger, "ended"), 1U);
    EXPECT_EQ(ledger.count(SONDE_ONCPU, ledger.read()), 3U);
}

TEST(SlotLedger, ForgetsNothingOfANameThatGrewOrIsBorne)
{
    SlotLedger ledger(EndedNames::kForget);
    ledger.close(1, {"again", 0}, on_cpu({10}));
    ledger.close(1, {"borne", 0}, on_cpu({10}));
    ledger.update(2, {"borne", 0}, on_cpu({20}));
    EXPECT_EQ(count_of(ledger, "again"), 1U);
    ledger.close(1, {"again", 0}, on_cpu({10}));
    EXPECT_EQ(count_of(ledger, "again"), 2U);
    EXPECT_EQ(count_of(ledger, "borne"), 2U);
}

TEST(SlotLedger, NamesMayComeAndGoForEverWhenTheyAreForgotten)
{
    SlotLedger ledger(EndedNames::kForget);
    for (uint32_t i = 0; i < 3 * SlotLedger::kMaxKeys; ++i) {
        ledger.close(1, {"p" + std::to_string(i), 0}, on_cpu({10}));
        if (i % 1000 == 0) {
            EXPECT_LE(ledger.read().size(), 1000U);
        }
    }
    EXPECT_EQ(ledger.without_name(), 0U);
    EXPECT_EQ(ledger.count(SONDE_ONCPU, ledger.read()), 3 * SlotLedger::kMaxKeys);
}

}  // namespace
}  // namespace sonde
