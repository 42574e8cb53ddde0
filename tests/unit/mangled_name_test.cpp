// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/mangled_name.h"

#include <gtest/gtest.h>

#include "userspace/base/glob.h"

namespace sonde {
namespace {

// As rustc 1.95 wrote them, in both manglings, for the same source.
constexpr std::string_view kLegacy = "_ZN1a4tree14H$LT$N$C$P$GT$14on_new_payload17hdff719170a08f4c2E";
constexpr std::string_view kV0 = "_RNvMNtCs4Q2Qx8jI5j6_1a4treeINtB2_1HhsE14on_new_payloadB4_";
constexpr std::string_view kV0Simple = "_RNvNtCs1234_7mycrate3foo3bar";

TEST(Glob, AStarIsAnyRunOfCharacters)
{
    EXPECT_TRUE(glob_matches("github.com/*/erigon*.(*EngineServer).newPayload",
                             "github.com/erigontech/erigon/execution/engineapi.(*EngineServer).newPayload"));
    EXPECT_TRUE(glob_matches("core.Foo[...]", "core.Foo[...]"));
    EXPECT_FALSE(glob_matches("core.Foo[...]", "core.Foo."));
    EXPECT_TRUE(glob_matches("*", ""));
    EXPECT_TRUE(glob_matches("", ""));
    EXPECT_FALSE(glob_matches("", "a"));
    EXPECT_TRUE(glob_matches("a*b*c", "aXbXbXc"));
    EXPECT_FALSE(glob_matches("a*b*c", "aXbXbX"));
    EXPECT_TRUE(glob_matches("**a**", "xa"));
    EXPECT_FALSE(glob_matches("a?", "ab"));
}

TEST(Glob, DoesNotTakeForEver)
{
    const std::string text(100'000, 'a');
    EXPECT_FALSE(glob_matches("*a*a*a*a*a*a*a*a*a*a*b", text));
}

TEST(MangledName, IsShownAsPeopleWriteIt)
{
    EXPECT_EQ(display_name("_ZN7leveldb6DBImpl3GetERKNS_11ReadOptionsE"),
              "leveldb::DBImpl::Get(leveldb::ReadOptions const&)");
    EXPECT_EQ(display_name(kLegacy), "a::tree::H<N,P>::on_new_payload");
    EXPECT_EQ(display_name(kV0Simple), "mycrate::foo::bar");
    EXPECT_EQ(display_name("core.(*BlockChain).insertChain"), "core.(*BlockChain).insertChain");
    EXPECT_EQ(display_name("_Z"), "_Z");
    EXPECT_EQ(display_name("_R"), "_R");
}

TEST(NamePattern, IdentifiersFitBothManglings)
{
    for (const std::string_view pattern : {"tree::on_new_payload", "a::tree::on_new_payload", "a::on_new_payload"}) {
        EXPECT_TRUE(NamePattern(pattern).matches(FunctionName(kLegacy))) << pattern;
        EXPECT_TRUE(NamePattern(pattern).matches(FunctionName(kV0))) << pattern;
    }
    for (const std::string_view pattern : {"on_new_payload::tree", "tree::new_payload", "b::on_new_payload"}) {
        EXPECT_FALSE(NamePattern(pattern).matches(FunctionName(kLegacy))) << pattern;
        EXPECT_FALSE(NamePattern(pattern).matches(FunctionName(kV0))) << pattern;
    }
    EXPECT_TRUE(NamePattern("DBImpl::Get").matches(FunctionName("_ZN7leveldb6DBImpl3GetERKNS_11ReadOptionsE")));
    EXPECT_FALSE(NamePattern("x::foo").matches(FunctionName("_ZN1x13foofoofoofoo1E")));
}

TEST(NamePattern, IdentifiersMayEndInADigitOrBeginWithAnUnderscore)
{
    EXPECT_TRUE(NamePattern("secp256k1::sign").matches(FunctionName("_ZN9secp256k14signEv")));
    EXPECT_TRUE(NamePattern("tree::_foo").matches(FunctionName("_RNvNtCs4Q2Qx8jI5j6_1a4tree4__foo")));
}

TEST(NamePattern, TheTypeAndTheTraitOfAMethodAreInItsPath)
{
    const FunctionName legacy(
        "_ZN58_$LT$a..tree..Handler$LT$P$GT$$u20$as$u20$a..b..Engine$GT$10on_payload17hf605fdb27833a4deE");
    EXPECT_EQ(legacy.display(), "<a::tree::Handler<P> as a::b::Engine>::on_payload");
    const FunctionName v0("_RNvXs_NtCs4Q2Qx8jI5j6_1a4treeINtB4_7HandlersENtNtB6_1b6Engine10on_payloadB6_");
    for (const FunctionName& method : {legacy, v0}) {
        EXPECT_TRUE(NamePattern("Handler::on_payload").matches(method)) << method.display();
        EXPECT_TRUE(NamePattern("Engine::on_payload").matches(method)) << method.display();
        EXPECT_FALSE(NamePattern("Engine::Handler").matches(method)) << method.display();
    }
}

TEST(NamePattern, WhatTheCompilerMakesOfAFunctionIsNotIt)
{
    const NamePattern get("DBImpl::Get");
    for (const char* name :
         {"_ZThn16_N7leveldb6DBImpl3GetEv", "_ZZN7leveldb6DBImpl3GetEvENKUlvE_clEv", "_ZN7leveldb6DBImpl3GetEv.cold",
          "_ZNSt17_Function_handlerIFvvEZN7leveldb6DBImpl3GetEvEUlvE_E9_M_invokeERKSt9_Any_data"}) {
        EXPECT_FALSE(get.matches(FunctionName(name))) << name;
    }
    EXPECT_FALSE(
        NamePattern("tree::on_new_payload")
            .matches(FunctionName("_ZN4core3ptr60drop_in_place$LT$a..tree..on_new_payload..$u7b$$u7b$closure$u7d$"
                                  "$u7d$$GT$17h0123456789abcdefE")));
}

TEST(NamePattern, ClosuresAreNotTheFunction)
{
    const NamePattern pattern("a::tree::async_like");
    EXPECT_FALSE(pattern.matches(
        FunctionName("_ZN1a4tree14H$LT$N$C$P$GT$10async_like28_$u7b$$u7b$closure$u7d$$u7d$17h7a01a46c1a0cb39bE")));
    EXPECT_FALSE(pattern.matches(FunctionName("_RNCNvMNtCs4Q2Qx8jI5j6_1a4treeINtB4_1HhsE10async_like0B6_")));
}

TEST(NamePattern, AGlobSeesTheNameOfTheFileAndTheShownOne)
{
    EXPECT_TRUE(NamePattern("*BlockChain*.insert*").matches(FunctionName("core.(*BlockChain).insertChain")));
    EXPECT_TRUE(
        NamePattern("leveldb::DBImpl::*(*)").matches(FunctionName("_ZN7leveldb6DBImpl3GetERKNS_11ReadOptionsE")));
    EXPECT_FALSE(
        NamePattern("leveldb::DBImpl::Put*").matches(FunctionName("_ZN7leveldb6DBImpl3GetERKNS_11ReadOptionsE")));
    EXPECT_TRUE(NamePattern("mdbx_*").matches(FunctionName("mdbx_txn_commit_ex")));
    EXPECT_TRUE(NamePattern("_ZN7leveldb*").matches(FunctionName("_ZN7leveldb6DBImpl3GetERKNS_11ReadOptionsE")));
}

}  // namespace
}  // namespace sonde
