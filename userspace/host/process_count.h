// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "userspace/base/rooted_fs.h"

namespace sonde {

// Processes that exist now, kernel threads included; 0 when /proc cannot be read.
[[nodiscard]] uint32_t count_processes(const RootedFs& fs);

}  // namespace sonde
