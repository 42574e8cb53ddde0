// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "bpf/abi/sched.h"

namespace sonde {

// For each system call number of this architecture: what a thread that blocks in it waits for
// (enum sonde_wait_hint).
[[nodiscard]] std::array<uint8_t, SONDE_MAX_SYSCALLS> syscall_reasons();

}  // namespace sonde
