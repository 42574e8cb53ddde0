// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/uprobe_cost.h"

#include <link.h>

#include <algorithm>
#include <chrono>
#include <optional>

#if defined(__x86_64__)
// A push, which the kernel emulates, and a return, which it lets the process step over.
asm(R"(
    .text
    .p2align 4
    .globl sonde_probed_function
    .type sonde_probed_function, @function
sonde_probed_function:
    push %rbp
    pop %rbp
    ret
    .size sonde_probed_function, . - sonde_probed_function
)");
extern "C" void sonde_probed_function();
#endif

namespace sonde {
namespace {

#if defined(__x86_64__)
constexpr uint64_t kReturnAt = 2;

// Where it is in the file of this program.
std::optional<uint64_t> file_offset_of(uint64_t address)
{
    struct Search {
        uint64_t address;
        std::optional<uint64_t> offset;
    } search{address, std::nullopt};
    ::dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* into) {
            auto* wanted = static_cast<Search*>(into);
            for (size_t i = 0; i < info->dlpi_phnum; ++i) {
                const auto& segment = info->dlpi_phdr[i];
                const uint64_t begin = info->dlpi_addr + segment.p_vaddr;
                if (segment.p_type == PT_LOAD && wanted->address >= begin &&
                    wanted->address - begin < segment.p_filesz) {
                    wanted->offset = wanted->address - begin + segment.p_offset;
                }
            }
            return 1;  // the program itself comes first
        },
        &search);
    return search.offset;
}

// The least of some batches: what else runs on the CPU only adds.
double ns_per_call()
{
    constexpr int kBatches = 8, kCalls = 50;
    double least = 1e12;
    for (int batch = 0; batch < kBatches; ++batch) {
        const auto begin = std::chrono::steady_clock::now();
        for (int i = 0; i < kCalls; ++i) {
            sonde_probed_function();
        }
        const std::chrono::duration<double, std::nano> past = std::chrono::steady_clock::now() - begin;
        least = std::min(least, past.count() / kCalls);
    }
    return least;
}
#endif

}  // namespace

Result<UprobeCost> measure_uprobe_cost(const std::function<Status(uint64_t offset, bool at_end)>& attach)
{
#if defined(__x86_64__)
    const std::optional<uint64_t> offset = file_offset_of(reinterpret_cast<uint64_t>(&sonde_probed_function));
    if (!offset) {
        return Error{ENOENT, "this program's own file"};
    }
    const double without = ns_per_call();
    if (Status status = attach(*offset, false); !status) {
        return status.error();
    }
    const double with_begin = ns_per_call();
    if (Status status = attach(*offset + kReturnAt, true); !status) {
        return status.error();
    }
    const double with_both = ns_per_call();
    return UprobeCost{std::max(0.0, with_begin - without), std::max(0.0, with_both - with_begin)};
#else
    (void)attach;
    return Error{ENOTSUP, "what a probe costs is not measured on this machine"};
#endif
}

}  // namespace sonde
