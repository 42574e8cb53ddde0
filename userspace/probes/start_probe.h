// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/probes/features.h"

namespace sonde {

// Which processes have been forked, or have become another program, since it was asked last.
class StartProbe {
  public:
    virtual ~StartProbe() = default;

    struct Starts {
        std::vector<pid_t> pids;  // in their order; some may have ended
        bool missed = false;      // there were more than are kept
    };
    [[nodiscard]] virtual Starts take() = 0;
};

// Counts from here on.
[[nodiscard]] Result<std::unique_ptr<StartProbe>> load_start_probe(const KernelFeatures& features);

}  // namespace sonde
