// SPDX-License-Identifier: Apache-2.0
//
// A probe: one BPF object, loaded with the hooks that were chosen for this kernel, read as plain values.
// Not thread-safe: use a probe from one thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bpf/abi/filter.h"
#include "userspace/base/result.h"
#include "userspace/base/rooted_fs.h"
#include "userspace/metrics/snapshot.h"
#include "userspace/probes/features.h"
#include "userspace/probes/hook_table.h"
#include "userspace/probes/slot_ledger.h"

namespace sonde {

// Which tasks the session is about.
struct TaskFilter {
    sonde_filter_kind kind = SONDE_FILTER_NONE;
    pid_t tgid = 0;
    std::string comm;  // up to 15 bytes
    uint64_t cgroup_id = 0;
};

enum class TaskStore { kAuto, kArray, kStorage };

struct ProbeOptions {
    TaskFilter filter;
    TaskStore task_store = TaskStore::kAuto;
    bool by_pid = false;  // a series per process instead of per process name
    EndedNames ended = EndedNames::kKeep;
    std::vector<uint16_t> listening_ports;  // when the session begins
    int follow_targets_fd = -1;             // map of a FollowProbe; -1: not following
    uint32_t cpus = 1;                      // possible CPUs
    uint32_t pid_max = 32768;
    uint32_t processes = 0;  // that exist when the session begins
};

// How large the maps are made; see memory_plan.cpp for what they cost.
struct MapSizes {
    uint32_t processes = 0;
    uint32_t sched_chunks = 0;
    uint32_t local_chunks = 0;  // of block and of tcp, each
    uint32_t task_entries = 1;  // of the array; 1 when task storage is used
    bool task_storage = false;
};

[[nodiscard]] MapSizes choose_sizes(const ProbeOptions& options, const KernelFeatures& features);
// Bytes of kernel memory that maps of these sizes take, by the sizes of their elements.
[[nodiscard]] uint64_t map_bytes(const MapSizes& sizes, uint32_t cpus, uint32_t threads);

class Probe {
  public:
    virtual ~Probe() = default;

    // From here on events are counted. Called once.
    virtual Status attach() = 0;
    // No more events are counted; what was counted stays readable.
    virtual void detach() = 0;
    // Adds this probe's statuses, histograms and counters to the snapshot.
    virtual Status read(Snapshot& into) = 0;
    // Housekeeping, to be called a few times a second. Next to free when there is nothing to do.
    virtual void maintain() {}
    // What the kernel says that this probe's maps take, in bytes.
    [[nodiscard]] virtual uint64_t kernel_bytes() const = 0;
};

// Each loads one BPF object with the programs of the given choices. REQUIRES: at least one choice of this kind
// has a row. `fs` must outlive the probe.
[[nodiscard]] Result<std::unique_ptr<Probe>> load_sched_probe(const ProbeOptions& options, const MapSizes& sizes,
                                                              const std::vector<Choice>& choices,
                                                              const KernelFeatures& features);
[[nodiscard]] Result<std::unique_ptr<Probe>> load_block_probe(const ProbeOptions& options, const MapSizes& sizes,
                                                              const std::vector<Choice>& choices,
                                                              const KernelFeatures& features, const RootedFs& fs);
[[nodiscard]] Result<std::unique_ptr<Probe>> load_tcp_probe(const ProbeOptions& options, const MapSizes& sizes,
                                                            const std::vector<Choice>& choices,
                                                            const KernelFeatures& features);

// The BPF objects, as the ELF files they were compiled to.
[[nodiscard]] std::span<const char> sched_object();
[[nodiscard]] std::span<const char> block_object();
[[nodiscard]] std::span<const char> tcp_object();
[[nodiscard]] std::span<const char> follow_object();
[[nodiscard]] std::span<const char> client_object();
[[nodiscard]] std::span<const char> starts_object();

// Keeps the set of processes that descend from one process, for SONDE_FILTER_TREE.
class FollowProbe {
  public:
    virtual ~FollowProbe() = default;
    [[nodiscard]] virtual int targets_fd() const = 0;
    virtual Status add(pid_t tgid) = 0;
    // Children that could not be followed because there were too many processes.
    [[nodiscard]] virtual uint64_t lost() const = 0;
};
[[nodiscard]] Result<std::unique_ptr<FollowProbe>> load_follow_probe(const KernelFeatures& features);

}  // namespace sonde
