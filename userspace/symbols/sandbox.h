// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "userspace/base/result.h"

namespace sonde {

struct SandboxLimits {
    uint64_t memory_bytes = 0;  // of the address space
    uint64_t cpu_seconds = 0;
};

// Leaves this process nothing but to compute, to read and write the descriptors that it keeps, and to end: all others
// are closed; if it is root it becomes nobody; it has no capabilities; by seccomp any system call but those to read,
// write, and manage memory that is no code kills it. It is killed when its parent ends. Not to be undone. An error if
// it cannot be done whole. Under a sanitizer without the limit of memory, of which they reserve terabytes, and with
// stderr.
Status shut_in(const SandboxLimits& limits, std::vector<int> keep);

}  // namespace sonde
