// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/code_sites.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

namespace sonde {
namespace {

// Encodings as the Intel manual has them, in hexadecimal.
Result<FunctionSites> sites_of(const std::string& hex, CodeKind kind = CodeKind::kNative, uint16_t machine = EM_X86_64)
{
    std::string code;
    for (size_t i = 0; i + 1 < hex.size(); i += hex[i] == ' ' ? 1 : 2) {
        if (hex[i] != ' ') {
            code += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
        }
    }
    return find_sites(machine, kind, Bytes(code));
}

TEST(CodeSites, OfAGoFunctionEntryIsThePushBehindTheStackCheck)
{
    // cmp rsp,[r14+16]; jbe +15; push rbp; mov rbp,rsp; sub rsp,24; nop; add rsp,24; pop rbp; ret; call; jmp 0
    const auto sites = sites_of("493b6610 760f 55 4889e5 4883ec18 90 4883c418 5d c3 e800000000 ebe4", CodeKind::kGo);
    ASSERT_TRUE(sites) << sites.error().what;
    EXPECT_EQ(sites->entry.offset, 6U);
    EXPECT_TRUE(sites->entry.emulated);
    ASSERT_EQ(sites->returns.size(), 1U);
    EXPECT_EQ(sites->returns[0].offset, 20U);
    EXPECT_FALSE(sites->returns[0].emulated);
    EXPECT_EQ(sites->tail_jumps, 0U);
}

TEST(CodeSites, GoFunctionsWithALargeFrameCompareAComputedPointer)
{
    // lea r12,[rsp-280]; cmp r12,[r14+16]; jbe +2; push rbp; ret
    const auto large = sites_of("4c8da424e8feffff 4d3b6610 7602 55 c3", CodeKind::kGo);
    ASSERT_TRUE(large);
    EXPECT_EQ(large->entry.offset, 14U);
    // mov r12,rsp; sub r12,65536; jb +8; cmp r12,[r14+16]; jbe +2; push rbp; ret
    const auto huge = sites_of("4989e4 4981ec00000100 7208 4d3b6610 7602 55 c3", CodeKind::kGo);
    ASSERT_TRUE(huge);
    EXPECT_EQ(huge->entry.offset, 18U);
}

TEST(CodeSites, OtherComparesAreNoStackCheck)
{
    // cmp rsi,[rdi+16]; jbe +3; push rbx; pop rbx; ret; ret: the fast way returns without the push
    EXPECT_EQ(sites_of("483b7710 7603 53 5b c3 c3")->entry.offset, 0U);
    EXPECT_EQ(sites_of("483b7710 7603 53 5b c3 c3", CodeKind::kGo)->entry.offset, 0U);
    // Go's own, in a function that is not Go's
    EXPECT_EQ(sites_of("493b6610 7602 55 c3 c3")->entry.offset, 0U);
    // cmp w1,#3; b.ls; ret; ret
    EXPECT_EQ(sites_of("3f0c0071 49000054 c0035fd6 c0035fd6", CodeKind::kGo, EM_AARCH64)->entry.offset, 0U);
}

TEST(CodeSites, CountsJumpsToTheBeginning)
{
    EXPECT_EQ(sites_of("ffcf 75fc c3")->begins_again, 1U);  // dec edi; jne 0; ret
    EXPECT_EQ(sites_of("ffcf 75fc c3", CodeKind::kGo)->begins_again, 1U);
    EXPECT_EQ(sites_of("55 5d c3 e800000000 ebf6", CodeKind::kGo)->begins_again,
              0U);  // behind a call: a stack that grew
    // call; mov rax,[rsp+8]; mov ebx,[rsp+16]; movsd xmm0,[rsp+24]; jmp 0
    const auto arguments = sites_of("55 5d c3 e800000000 488b442408 8b5c2410 f20f10442418 ebe7", CodeKind::kGo);
    EXPECT_EQ(arguments->begins_again, 0U);
    // push rbp; pop rbp; ret; call; mov rax,[rsp+8]; nop; nop [rax]; jmp 0
    EXPECT_EQ(sites_of("55 5d c3 e800000000 488b442408 90 0f1f00 ebed", CodeKind::kGo)->begins_again, 0U) << "nops";
    EXPECT_EQ(arguments->tail_jumps, 0U);
    EXPECT_EQ(sites_of("55 5d c3 e800000000 ebf6")->begins_again, 1U);
}

TEST(CodeSites, WithoutAPushEntryIsStillBehindTheStackCheck)
{
    // cmp rsp,[r14+16]; jbe +1; ret; call
    const auto sites = sites_of("493b6610 7601 c3 e800000000", CodeKind::kGo);
    ASSERT_TRUE(sites);
    EXPECT_EQ(sites->entry.offset, 6U);
    EXPECT_FALSE(sites->entry.emulated);
}

TEST(CodeSites, OfACFunctionEntryIsAPushThatAllCallsPassOnce)
{
    EXPECT_EQ(sites_of("f30f1efa 55 4889e5 5d c3")->entry.offset, 4U);  // endbr64; push rbp
    EXPECT_TRUE(sites_of("f30f1efa 4157 415f c3")->entry.emulated);     // endbr64; push r15
    EXPECT_EQ(sites_of("bf00000000 55 5d c3")->entry.offset, 0U);       // mov edi,0: an argument
    EXPECT_EQ(sites_of("4883ec08 55 5d c3")->entry.offset, 0U);         // sub rsp,8: the stack pointer
    EXPECT_EQ(sites_of("c70700000000 55 5d c3")->entry.offset, 0U);     // mov dword [rdi],0: memory
    EXPECT_EQ(sites_of("e800000000 55 5d c3")->entry.offset, 0U);       // a call
    EXPECT_EQ(sites_of("85ff 7403 55 5d c3 c3")->entry.offset, 0U);     // test edi,edi; je: not all calls
    EXPECT_EQ(sites_of("85ff 55 5d 75fc c3")->entry.offset, 0U);        // a loop that begins at the push
}

TEST(CodeSites, TellsANopOfFiveBytes)
{
    const auto nop5 = sites_of("0f1f440000 c3");
    ASSERT_TRUE(nop5);
    EXPECT_EQ(nop5->entry.offset, 0U);
    EXPECT_TRUE(nop5->entry.nop5);
    EXPECT_FALSE(sites_of("0f1f4000 c3")->entry.nop5);
    EXPECT_TRUE(sites_of("90 c3")->entry.emulated);
}

TEST(CodeSites, FindsReturnsByDecodingAndNotBytes)
{
    // mov eax,0xc3c3c3c3; ret 8; rep ret; xor eax,eax; ret
    const auto sites = sites_of("b8c3c3c3c3 c20800 f3c3 31c0 c3");
    ASSERT_TRUE(sites);
    std::vector<uint64_t> offsets;
    for (const ProbeSite& site : sites->returns) {
        offsets.push_back(site.offset);
    }
    EXPECT_EQ(offsets, (std::vector<uint64_t>{5, 8, 12}));
}

TEST(CodeSites, CountsWhatLeavesWithoutAReturn)
{
    const auto tail = sites_of("85ff 7401 c3 e900010000");  // test; je; ret; jmp out
    ASSERT_TRUE(tail);
    EXPECT_EQ(tail->tail_jumps, 1U);
    EXPECT_EQ(sites_of("eb80")->tail_jumps, 1U);  // before its beginning
    EXPECT_EQ(sites_of("ffe0")->indirect_jumps, 1U);
    EXPECT_EQ(sites_of("85ff 7406 ff2500000000 c3")->indirect_jumps, 1U);  // through the table of offsets (GOT)
    EXPECT_EQ(sites_of("eb01 90 c3")->tail_jumps, 0U);
}

TEST(CodeSites, TakesPaddingAndRefusesWhatIsNoCode)
{
    EXPECT_TRUE(sites_of("c3 cc cc cc"));
    EXPECT_TRUE(sites_of("c3 00"));
    std::string returns;
    for (size_t i = 0; i <= FunctionSites::kMaxReturns; ++i) {
        returns += "c3";
    }
    EXPECT_FALSE(sites_of(returns));
    const auto bad = sites_of("90 06 90 90");  // push es: not in 64-bit mode
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().what, "no instruction at +1");
    EXPECT_FALSE(sites_of(""));
    EXPECT_FALSE(sites_of("c3", CodeKind::kNative, EM_RISCV));
}

TEST(CodeSites, OfArm64)
{
    // ldr x16,[x28,#16]; cmp sp,x16; b.ls +12; str x30,[sp,#-32]!; ret; bl; b 0
    const auto sites =
        sites_of("900b40f9 ff6330eb 69000054 fe0f1ef8 c0035fd6 00000094 faffff17", CodeKind::kGo, EM_AARCH64);
    ASSERT_TRUE(sites);
    EXPECT_EQ(sites->entry.offset, 12U);
    ASSERT_EQ(sites->returns.size(), 1U);
    EXPECT_EQ(sites->returns[0].offset, 16U);
    EXPECT_EQ(sites->tail_jumps, 0U);
    EXPECT_EQ(sites_of("c0035fd6 00010014", CodeKind::kGo, EM_AARCH64)->tail_jumps, 1U);
}

}  // namespace
}  // namespace sonde
