// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/code_sites.h"

#include <Zydis/Zydis.h>
#include <elf.h>

#include <algorithm>
#include <array>

namespace sonde {
namespace {

constexpr uint8_t kNop = 0x90;
constexpr uint8_t kRexB = 0x41;
constexpr uint64_t kGoStackGuardAt = 16;  // in runtime.g
constexpr uint64_t kNop5Bytes = 5;

// One instruction, with the few things that are asked of it.
struct Instruction {
    ZydisDecodedInstruction decoded;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
    uint64_t offset = 0;

    [[nodiscard]] uint64_t end() const { return offset + decoded.length; }
    [[nodiscard]] bool is_jump() const
    {
        return decoded.meta.category == ZYDIS_CATEGORY_COND_BR || decoded.meta.category == ZYDIS_CATEGORY_UNCOND_BR;
    }
    // Not one through a word of memory, which may itself be addressed from here.
    [[nodiscard]] bool is_relative() const { return decoded.raw.imm[0].is_relative == ZYAN_TRUE; }
    // Of a relative jump; beyond the function's end, or far beyond for one before its beginning.
    [[nodiscard]] uint64_t target() const { return end() + static_cast<uint64_t>(decoded.raw.imm[0].value.s); }
    [[nodiscard]] bool is_push_register() const
    {
        return decoded.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && decoded.opcode >= 0x50 && decoded.opcode <= 0x57;
    }
};

class InstructionDecoder {
  public:
    explicit InstructionDecoder(Bytes code) : code_(code)
    {
        ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    }

    [[nodiscard]] bool decode(uint64_t offset, Instruction& into) const
    {
        into.offset = offset;
        const Bytes rest = code_.part(offset);
        return ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder_, rest.data(), rest.size(), &into.decoded, into.operands.data()));
    }

  private:
    ZydisDecoder decoder_{};
    Bytes code_;
};

bool is_padding(Bytes bytes)
{
    const std::string_view all = bytes.view();
    return std::all_of(all.begin(), all.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte == 0xcc || byte == kNop || byte == 0;
    });
}

bool is_emulated(const Instruction& i, Bytes code)
{
    if ((i.decoded.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) != 0) {
        return false;
    }
    const uint8_t op = i.decoded.opcode;
    if (i.decoded.opcode_map == ZYDIS_OPCODE_MAP_0F) {
        return op >= 0x80 && op <= 0x8f;  // jcc
    }
    if (i.decoded.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) {
        return false;
    }
    if (i.is_push_register()) {
        return i.decoded.length == 1 || (i.decoded.length == 2 && code.at<uint8_t>(i.offset) == kRexB);
    }
    return (op == kNop && i.decoded.length == 1) || (op >= 0x70 && op <= 0x7f) || op == 0xe8 || op == 0xe9 ||
           op == 0xeb;
}

ProbeSite site_at(const Instruction& i, Bytes code)
{
    return {i.offset, is_emulated(i, code), i.decoded.mnemonic == ZYDIS_MNEMONIC_NOP && i.decoded.length == kNop5Bytes};
}

bool is_register(const ZydisDecodedOperand& operand, ZydisRegister which)
{
    return operand.type == ZYDIS_OPERAND_TYPE_REGISTER && operand.reg.value == which;
}

// cmp rsp, [r14 + 16], or of a computed pointer, r12: the stack check that Go functions begin with. Of those with a
// huge frame, before it, sub r12, SIZE, which may fall below zero.
bool is_stack_check(const Instruction& i)
{
    if (i.decoded.mnemonic == ZYDIS_MNEMONIC_SUB) {
        return is_register(i.operands[0], ZYDIS_REGISTER_R12);
    }
    const ZydisDecodedOperand& memory = i.operands[1];
    return i.decoded.mnemonic == ZYDIS_MNEMONIC_CMP &&
           (is_register(i.operands[0], ZYDIS_REGISTER_RSP) || is_register(i.operands[0], ZYDIS_REGISTER_R12)) &&
           memory.type == ZYDIS_OPERAND_TYPE_MEMORY && memory.mem.base == ZYDIS_REGISTER_R14 &&
           memory.mem.disp.has_displacement && memory.mem.disp.value == kGoStackGuardAt;
}

// Leaves the stack pointer, the registers of arguments and the memory as they are, and goes on behind itself.
bool is_harmless(const Instruction& i)
{
    switch (i.decoded.meta.category) {
        case ZYDIS_CATEGORY_CALL:
        case ZYDIS_CATEGORY_COND_BR:
        case ZYDIS_CATEGORY_INTERRUPT:
        case ZYDIS_CATEGORY_RET:
        case ZYDIS_CATEGORY_SYSCALL:
        case ZYDIS_CATEGORY_SYSTEM:
        case ZYDIS_CATEGORY_UNCOND_BR:
            return false;
        default:
            break;
    }
    const auto end = i.operands.begin() + i.decoded.operand_count;
    return std::none_of(i.operands.begin(), end, [](const ZydisDecodedOperand& operand) {
        if ((operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0) {
            return false;
        }
        if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER) {
            return true;
        }
        const ZydisRegisterClass kind = ZydisRegisterGetClass(operand.reg.value);
        if (kind == ZYDIS_REGCLASS_FLAGS || kind == ZYDIS_REGCLASS_IP) {
            return false;
        }
        // What Go's stack check and position-independent code compute in.
        switch (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, operand.reg.value)) {
            case ZYDIS_REGISTER_R12:
            case ZYDIS_REGISTER_R13:
            case ZYDIS_REGISTER_R15:
                return false;
            default:
                return true;
        }
    });
}

// The first push that all calls pass once, or else the first instruction behind the stack check, or else the first.
// `first_target` is the least offset but 0 to which the function jumps.
std::optional<ProbeSite> find_entry(const InstructionDecoder& decoder, CodeKind kind, Bytes code, uint64_t first_target)
{
    Instruction i;
    if (!decoder.decode(0, i)) {
        return std::nullopt;
    }
    ProbeSite entry = site_at(i, code);
    bool checked = false;  // the last instruction compared with the stack's end
    bool behind = false;   // ... and this one is behind the jump that followed
    for (uint64_t at = 0; at < first_target && decoder.decode(at, i); at = i.end()) {
        if (i.is_push_register()) {
            return site_at(i, code);
        }
        if (behind) {
            entry = site_at(i, code);
            behind = false;
        }
        if (checked && (i.decoded.mnemonic == ZYDIS_MNEMONIC_JBE || i.decoded.mnemonic == ZYDIS_MNEMONIC_JB)) {
            checked = false;
            behind = true;
            continue;
        }
        checked = kind == CodeKind::kGo && is_stack_check(i);
        if (!is_harmless(i)) {
            break;
        }
    }
    return entry;
}

Result<FunctionSites> find_x86_sites(CodeKind kind, Bytes code)
{
    const InstructionDecoder decoder(code);
    FunctionSites sites;
    uint64_t first_target = code.size();
    bool behind_call = false;
    Instruction i;
    for (uint64_t at = 0; at < code.size(); at = i.end()) {
        if (!decoder.decode(at, i)) {
            if (is_padding(code.part(at))) {
                break;
            }
            return Error{EINVAL, "no instruction at +" + std::to_string(at)};
        }
        if (i.decoded.mnemonic == ZYDIS_MNEMONIC_RET) {
            sites.returns.push_back(site_at(i, code));
            if (sites.returns.size() > FunctionSites::kMaxReturns) {
                return Error{E2BIG, "it returns at too many places"};
            }
        } else if (i.is_jump() && !i.is_relative()) {
            ++sites.indirect_jumps;
        } else if (i.is_jump() && i.target() >= code.size()) {
            ++sites.tail_jumps;
        } else if (i.is_jump() && i.target() != 0) {
            first_target = std::min(first_target, i.target());
        } else if (i.is_jump() && !(kind == CodeKind::kGo && behind_call)) {
            ++sites.begins_again;
        }
        // Go's stack grows in a call at the function's end; then it takes its arguments back and begins again, before
        // its entry. Nops keep that jump from crossing 32 bytes.
        const ZydisInstructionCategory category = i.decoded.meta.category;
        behind_call = category == ZYDIS_CATEGORY_CALL ||
                      (behind_call && (category == ZYDIS_CATEGORY_DATAXFER || category == ZYDIS_CATEGORY_NOP ||
                                       category == ZYDIS_CATEGORY_WIDENOP));
    }
    const std::optional<ProbeSite> entry = find_entry(decoder, kind, code, first_target);
    if (!entry) {
        return Error{EINVAL, "no instruction at its beginning"};
    }
    sites.entry = *entry;
    return sites;
}

// Instructions of four bytes; the architecture manual's encodings. What the kernel simulates there is not said here:
// entry and return cost the same (arch/arm64/kernel/probes/decode-insn.c).
Result<FunctionSites> find_arm64_sites(CodeKind kind, Bytes code)
{
    constexpr uint32_t kReturn = 0xd65f03c0;        // ret x30
    constexpr uint32_t kLoadGuard = 0xf9400b90;     // ldr x16, [x28, #16]
    constexpr uint32_t kCompareStack = 0xeb3063ff;  // cmp sp, x16
    constexpr uint32_t kCompareBelow = 0xeb10023f;  // cmp x17, x16
    constexpr uint32_t kBranchLowerSame = 0x54000009;
    constexpr uint64_t kCheckInstructions = 8;
    FunctionSites sites;
    const bool checks = kind == CodeKind::kGo && code.at<uint32_t>(0) == kLoadGuard;
    uint32_t before = 0;
    for (uint64_t at = 0; const std::optional<uint32_t> word = code.at<uint32_t>(at); at += sizeof(*word)) {
        if (*word == kReturn) {
            sites.returns.push_back({at, false, false});
            if (sites.returns.size() > FunctionSites::kMaxReturns) {
                return Error{E2BIG, "it returns at too many places"};
            }
        } else if ((*word & 0xfffffc1f) == 0xd61f0000) {
            ++sites.indirect_jumps;
        } else if ((*word & 0xfc000000) == 0x14000000) {
            const auto words = static_cast<int32_t>(*word << 6) >> 6;
            const uint64_t target = at + static_cast<uint64_t>(int64_t{words} * 4);
            const bool behind_call = (before & 0xfc000000) == 0x94000000;
            sites.tail_jumps += target >= code.size() ? 1 : 0;
            sites.begins_again += target == 0 && !(checks && behind_call) ? 1 : 0;
        } else if (checks && at < kCheckInstructions * sizeof(*word) && (*word & 0xff00001f) == kBranchLowerSame &&
                   (before == kCompareStack || before == kCompareBelow)) {
            sites.entry.offset = at + sizeof(*word);
        }
        before = *word;
    }
    return code.size() < sizeof(uint32_t) ? Result<FunctionSites>(Error{EINVAL, "no instruction at its beginning"})
                                          : sites;
}

}  // namespace

Result<FunctionSites> find_sites(uint16_t machine, CodeKind kind, Bytes code)
{
    switch (machine) {
        case EM_X86_64:
            return find_x86_sites(kind, code);
        case EM_AARCH64:
            return find_arm64_sites(kind, code);
        default:
            return Error{ENOTSUP, "code for another machine"};
    }
}

}  // namespace sonde
