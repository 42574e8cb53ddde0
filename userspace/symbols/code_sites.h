// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/symbols/bytes.h"

namespace sonde {

// An instruction on which a uprobe may be put.
struct ProbeSite {
    uint64_t offset = 0;  // from the beginning of the function
    // The kernel emulates the instruction, instead of letting the process take a single step over it in another
    // place, which costs twice as much on a machine and twenty times in a virtual one.
    bool emulated = false;
    // A five-byte nop. Linux 6.18 turns a probed one into a call that overwrites the eight bytes below the stack
    // pointer, which belong to functions that use the red zone.
    bool nop5 = false;
};

// Where a function can be probed so that each call is seen beginning once and ending once.
struct FunctionSites {
    static constexpr size_t kMaxReturns = 1024;  // one with more is an error

    // Passed once per call, with the stack pointer and the argument registers that the function began with. Behind
    // Go's stack check, which a growing stack passes twice (not with Go 1.16 or older, nor in Go's assembly, where the
    // goroutine is not in a register).
    ProbeSite entry;
    // Jumps to the function's beginning, loops and calls of itself at its end: they pass the entry again.
    uint32_t begins_again = 0;
    std::vector<ProbeSite> returns;
    // Ends that are no return: a jump to another function (its time belongs to the call), or one that may be that or a
    // table of cases. Where there are any, return sites do not see all ends.
    uint32_t tail_jumps = 0;
    uint32_t indirect_jumps = 0;
};

enum class CodeKind : uint8_t { kGo, kNative };

// `machine` is EM_X86_64 or EM_AARCH64; `code` is the whole function. An error where the bytes are no instructions.
// What the kernel emulates on x86-64: arch/x86/kernel/uprobes.c, branch_setup_xol_ops and push_setup_xol_ops.
Result<FunctionSites> find_sites(uint16_t machine, CodeKind kind, Bytes code);

}  // namespace sonde
