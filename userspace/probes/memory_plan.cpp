// SPDX-License-Identifier: Apache-2.0
//
// How large the maps are, and what that costs. Every number here has a reason; bench and doctor show the sum.
#include <algorithm>

#include "bpf/abi/block.h"
#include "bpf/abi/sched.h"
#include "bpf/abi/tcp.h"
#include "userspace/probes/probe.h"

namespace sonde {
namespace {

// An array of task states costs 64 bytes per possible pid: up to here it is cheaper than task storage in
// memory, and always in time.
constexpr uint32_t kMaxArrayPids = 65536;
// Where only the array is possible; tasks whose pids are equal modulo this share an entry, one at a time.
constexpr uint32_t kSharedArrayPids = 131072;
constexpr uint64_t kTaskEntryBytes = 64;     // struct task_cell
constexpr uint64_t kTaskStorageBytes = 160;  // entry, element head and slab rounding, measured with 40,000 threads
constexpr uint64_t kStampBytes = 16;
constexpr uint64_t kStamps = 65536;
constexpr uint64_t kHashEntryBytes = 80;

// Slots for twice the processes that exist, and some for those that come and go: an ended process keeps its
// slot for half a second.
constexpr uint32_t kMinProcesses = 2048;
constexpr uint32_t kMaxProcesses = 16384;
// A process fills some 30 chunks when it is quiet and some 60 when it is busy, and few are busy.
constexpr uint32_t kChunksPerProcess = 24;

uint32_t next_power_of_two(uint32_t n)
{
    uint32_t power = 1;
    while (power < n) {
        power *= 2;
    }
    return power;
}

}  // namespace

MapSizes choose_sizes(const ProbeOptions& options, const KernelFeatures& features)
{
    MapSizes sizes;
    sizes.processes = std::clamp(next_power_of_two(options.processes) * 2, kMinProcesses, kMaxProcesses);
    sizes.sched_chunks = sizes.processes * kChunksPerProcess;
    sizes.local_chunks = 4096 + 512 * options.cpus;
    const bool storage_possible = features.task_storage.works && features.typed_tracepoints.works;
    const bool array_fits = options.pid_max <= kMaxArrayPids;
    sizes.task_storage = storage_possible && (options.task_store == TaskStore::kStorage ||
                                              (options.task_store == TaskStore::kAuto && !array_fits));
    sizes.task_entries = sizes.task_storage ? 1 : next_power_of_two(std::min(options.pid_max, kSharedArrayPids));
    return sizes;
}

uint64_t map_bytes(const MapSizes& sizes, uint32_t cpus, uint32_t threads)
{
    const uint64_t sched =
        sizes.processes * (sizeof(sonde_sched_rows) + sizeof(sonde_process) + kHashEntryBytes + sizeof(uint32_t)) +
        sizes.sched_chunks * (sizeof(sonde_hist_chunk) + sizeof(uint32_t)) + sizes.task_entries * kTaskEntryBytes +
        (sizes.task_storage ? threads * kTaskStorageBytes : 0);
    const uint64_t block = (uint64_t{cpus} * SONDE_BLOCK_DEVICES + 1) * sizeof(sonde_block_rows) +
                           sizes.local_chunks * sizeof(sonde_hist_chunk) + kStamps * kStampBytes;
    const uint64_t tcp = (uint64_t{cpus} * SONDE_TCP_PORTS + 1) * sizeof(sonde_tcp_rows) +
                         sizes.local_chunks * sizeof(sonde_hist_chunk) + SONDE_TCP_PORTS * kHashEntryBytes;
    return sched + block + tcp;
}

}  // namespace sonde
