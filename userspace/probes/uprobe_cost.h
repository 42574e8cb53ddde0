// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "userspace/base/result.h"
#include "userspace/probes/uprobe_links.h"

namespace sonde {

// What a probe costs the process that runs into it, trap and program together. The two differ by a factor of two or
// three on a machine, and of twenty in a virtual one that steps through its host.
struct UprobeCost {
    double emulated_ns = 0;
    double stepped_ns = 0;
};

// Measured on a function of this process, in some milliseconds; not on other machines than x86-64 (ENOTSUP). `attach`
// puts a probe on an offset of this program's file. The probes stay until their links are closed.
[[nodiscard]] Result<UprobeCost> measure_uprobe_cost(const std::function<Status(uint64_t offset, bool at_end)>& attach);

}  // namespace sonde
