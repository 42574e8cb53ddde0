// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/call_targets.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

FunctionSymbol function_with(const FunctionSites& sites, const char* name = "f")
{
    FunctionSymbol function;
    function.name = function.display = name;
    function.offset = 0x1000;
    function.size = 0x100;
    function.sites = sites;
    return function;
}

FunctionSites returning()
{
    FunctionSites sites;
    sites.entry = {4, true, false};
    sites.returns = {{0x20, false, false}, {0x80, false, false}};
    return sites;
}

BinaryFacts c_program()
{
    BinaryFacts facts;
    facts.may_unwind = false;
    return facts;
}

std::string why_not(const FunctionSymbol& function, const BinaryFacts& facts)
{
    const Result<CallSites> sites = choose_sites(function, facts);
    return sites ? "chosen" : sites.error().what;
}

TEST(CallSpec, IsAProgramAndAPattern)
{
    const auto spec = parse_call_spec("/usr/bin/anvil:EthApi::execute");
    ASSERT_TRUE(spec);
    EXPECT_EQ(spec->target, "/usr/bin/anvil");
    EXPECT_EQ(spec->pattern, "EthApi::execute");
    for (const char* bad : {"", ":", "a:", ":b", "a"}) {
        EXPECT_FALSE(parse_call_spec(bad)) << bad;
    }
}

TEST(ChooseSites, TakesEntryAndReturns)
{
    const auto sites = choose_sites(function_with(returning()), BinaryFacts());
    ASSERT_TRUE(sites);
    EXPECT_EQ(sites->begin, 0x1004U);
    EXPECT_EQ(sites->ends, (std::vector<uint64_t>{0x1020, 0x1080}));
}

TEST(ChooseSites, AReturnProbeIsForCProgramsOnly)
{
    for (const auto change : {+[](FunctionSites& s) { s.returns.clear(); }, +[](FunctionSites& s) { s.tail_jumps = 1; },
                              +[](FunctionSites& s) { s.indirect_jumps = 1; }}) {
        FunctionSites sites = returning();
        change(sites);
        const auto chosen = choose_sites(function_with(sites), c_program());
        ASSERT_TRUE(chosen);
        EXPECT_TRUE(chosen->ends.empty());
        EXPECT_TRUE(chosen->return_probe);
        BinaryFacts go = c_program();
        go.go.emplace();
        BinaryFacts table = c_program();
        table.go_table = "1.20";
        for (const auto& refused :
             {why_not(function_with(sites), BinaryFacts()), why_not(function_with(sites), go),
              why_not(function_with(sites), table), why_not(function_with(sites, "_ZN1a1bEv"), c_program()),
              why_not(function_with(sites, "_RNvC1a1b"), c_program())}) {
            EXPECT_NE(refused.find("a return probe could end the process"), std::string::npos) << refused;
        }
    }
}

TEST(ChooseSites, AGoFunctionNeverGetsAReturnProbe)
{
    BinaryFacts facts = c_program();
    facts.go.emplace();
    facts.go->go_version = "go1.26.4";
    facts.go_table = "1.20";
    FunctionSymbol function = function_with(returning());
    function.go = true;
    function.sites->indirect_jumps = 3;  // tables of cases
    ASSERT_TRUE(choose_sites(function, facts));
    function.sites->tail_jumps = 1;
    EXPECT_EQ(why_not(function, facts), "it may end in another function");
    function.sites->tail_jumps = 0;
    function.sites->returns.clear();
    EXPECT_EQ(why_not(function, facts), "it never returns");
}

TEST(ChooseSites, GoWithoutItsGoroutineInARegisterIsRefused)
{
    BinaryFacts facts = c_program();
    facts.go_table = "1.16";
    FunctionSymbol function = function_with(returning());
    function.go = true;
    EXPECT_NE(why_not(function, facts).find("Go 1.16"), std::string::npos);
    facts.go.emplace();
    facts.go->go_version = "go1.16.15";
    EXPECT_NE(why_not(function, facts).find("Go 1.16"), std::string::npos);
    facts.go->go_version = "go1.17.13";
    EXPECT_EQ(why_not(function, facts), "chosen");
}

TEST(ChooseSites, WhatBeginsAgainIsRefused)
{
    FunctionSites sites = returning();
    sites.begins_again = 1;
    EXPECT_NE(why_not(function_with(sites), c_program()).find("jumps to its beginning"), std::string::npos);
    FunctionSymbol unknown = function_with(returning());
    unknown.sites.reset();
    unknown.no_sites = "its size is not known";
    EXPECT_EQ(why_not(unknown, c_program()), "its size is not known");
}

}  // namespace
}  // namespace sonde
