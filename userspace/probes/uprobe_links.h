// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/base/unique_fd.h"
#include "userspace/probes/features.h"
#include "userspace/probes/libbpf_ptr.h"

namespace sonde {

// Program types that a uprobe's BPF program is loaded with: kernels since 6.6 attach one to many places of a process by
// one link. Taking that back waits once for those who are in a probe; otherwise it is 0.1 s per place on some kernels.
inline constexpr uint32_t kAttachUprobeMulti = 48;  // BPF_TRACE_UPROBE_MULTI, which older headers lack

// Whether this kernel has it, and confines it to a process rather than, as 6.6 to 6.9 did at first, to a thread.
[[nodiscard]] Feature try_uprobe_multi();

// Whether a seccomp filter is asked about the system call that return probes make since 6.11. Such filters then killed
// the process, until kernels let it pass. Asks, once, by a child with such a filter.
[[nodiscard]] bool filters_see_return_probes();

struct UprobePlace {
    bpf_program* program;
    uint64_t offset;  // in the file
    uint64_t cookie;
    bool at_return;
    uint64_t semaphore = 0;  // in the file: a counter of 16 bits that the kernel raises while the probe is there
};

// The uprobes of one process; they are gone when this is, and when this process ends, however it ends.
class UprobeLinks {
  public:
    // All of them or, with an error, none. `path`: of the program, as the kernel can open it.
    static Result<UprobeLinks> attach(pid_t pid, const std::string& path, const std::vector<UprobePlace>& places,
                                      bool multi);
    UprobeLinks() = default;

    [[nodiscard]] bool empty() const { return multi_.empty() && single_.empty(); }
    // Takes the probes of many processes back. The kernel waits for some 70 ms with each link; those that are closed at
    // the same time wait together, which is what this has threads for. They have ended when it returns.
    static void close_together(std::vector<UprobeLinks> links);

  private:
    Status attach_together(pid_t pid, const std::string& path, const std::vector<UprobePlace>& places);
    Status attach_each(pid_t pid, const std::string& path, const std::vector<UprobePlace>& places);

    std::vector<UniqueFd> multi_;
    std::vector<LinkPtr> single_;
};

}  // namespace sonde
