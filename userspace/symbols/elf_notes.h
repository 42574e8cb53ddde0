// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "userspace/symbols/elf_file.h"

namespace sonde {

inline constexpr uint64_t kMaxBuildIdBytes = 64;
inline constexpr uint64_t kMaxUsdtProbes = 65'536;

// The GNU build-id in hexadecimal; empty if there is none, or one that is no identifier (over kMaxBuildIdBytes).
[[nodiscard]] std::string build_id(const ElfFile& elf);

// A static tracepoint (USDT), from the notes "stapsdt", version 3, that <sys/sdt.h> makes.
// https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation
struct UsdtProbe {
    std::string provider;
    std::string name;
    std::string arguments;          // as "-4@%edi 8@16(%rbp)"
    uint64_t offset = 0;            // of the instruction, in the file
    uint64_t semaphore_offset = 0;  // in the file, of the counter of those who watch; 0: there is none
    bool nop5 = false;              // see ProbeSite; said of anything but a nop of one byte
};

// At most kMaxUsdtProbes; those that do not point into the program are left out.
[[nodiscard]] std::vector<UsdtProbe> usdt_probes(const ElfFile& elf);

}  // namespace sonde
