// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/mangled_name.h"

#include <gtest/gtest.h>

#include "userspace/base/glob.h"

namespace sonde {
namespace {

// As rustc 1.95 wrote them, in both manglings, for the same source.
constexpr std::string_view kLegacy = "_ZN1a4tree14H$LT$N$C$P$GT$14on_new_payload17h0123456789abcdefE";
constexpr std::string_view kV0 = "_RINvMNtCs1234_1a4treeINtB2_1HhtE14on_new_payloadB4_";
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

TEST(Glob, KnowsAWordThatMustBeThere)
{
    EXPECT_EQ(glob_word("*state::mem_root*"), "mem_root");
    EXPECT_EQ(glob_word("***"), "");
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
        EXPECT_TRUE(NamePattern(pattern).matches(kLegacy)) << pattern;
        EXPECT_TRUE(NamePattern(pattern).matches(kV0)) << pattern;
    }
    for (const std::string_view pattern : {"on_new_payload::tree", "tree::new_payload", "b::on_new_payload"}) {
        EXPECT_FALSE(NamePattern(pattern).matches(kLegacy)) << pattern;
        EXPECT_FALSE(NamePattern(pattern).matches(kV0)) << pattern;
    }
    EXPECT_TRUE(NamePattern("DBImpl::Get").matches("_ZN7leveldb6DBImpl3GetERKNS_11ReadOptionsE"));
    EXPECT_FALSE(NamePattern("x::foo").matches("_ZN1x13foofoofoofoo1E"));
}

TEST(NamePattern, ClosuresAreNotTheFunction)
{
    const NamePattern pattern("a::tree::on_new_payload");
    EXPECT_FALSE(pattern.matches("_ZN1a4tree14on_new_payload28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE"));
    EXPECT_FALSE(pattern.matches("_RNCNvNtCs1234_1a4tree14on_new_payload0B4_"));
}

TEST(NamePattern, AGlobSeesTheNameOfTheFileAndTheShownOne)
{
    EXPECT_TRUE(NamePattern("*BlockChain*.insert*").matches("core.(*BlockChain).insertChain"));
    EXPECT_TRUE(NamePattern("leveldb::DBImpl::*(*)").matches("_ZN7leveldb6DBImpl3GetERKNS_11ReadOptionsE"));
    EXPECT_FALSE(NamePattern("leveldb::DBImpl::Put*").matches("_ZN7leveldb6DBImpl3GetERKNS_11ReadOptionsE"));
    EXPECT_TRUE(NamePattern("mdbx_*").matches("mdbx_txn_commit_ex"));
    EXPECT_TRUE(NamePattern("_ZN7leveldb*").matches("_ZN7leveldb6DBImpl3GetERKNS_11ReadOptionsE"));
}

}  // namespace
}  // namespace sonde
