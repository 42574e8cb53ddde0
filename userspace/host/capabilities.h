// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "userspace/base/rooted_fs.h"

namespace sonde {

// The effective capabilities of this process, as far as a tracer cares.
struct Capabilities {
    uint64_t effective = 0;

    [[nodiscard]] bool has(int capability) const { return (effective >> capability & 1) != 0; }
    // Loading tracing programs takes CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN instead: those of the two that
    // are missing; empty when programs can be loaded.
    [[nodiscard]] std::vector<std::string> missing_for_tracing() const;
    // Those that matter to sonde and are there, by name.
    [[nodiscard]] std::vector<std::string> present() const;
};

[[nodiscard]] Result<Capabilities> read_capabilities(const RootedFs& fs);

}  // namespace sonde
