// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <string>

#include "bpf/abi/sched.h"
#include "userspace/probes/hist_reader.h"
#include "userspace/probes/object.h"
#include "userspace/probes/probe.h"
#include "userspace/probes/skeleton_types.h"
#include "userspace/probes/slot_ledger.h"
#include "userspace/probes/syscall_reasons.h"

#include "sched.skel.h"  // after skeleton_types.h

namespace sonde {
namespace {

struct SeriesName {
    const char* metric;
    const char* label;  // besides process; null: none
    const char* value;
    std::string_view measurement;
};

constexpr std::array<SeriesName, SONDE_SCHED_SERIES> kSeriesNames{{
    {"sonde_sched_runq_latency_seconds", "cause", "woken", "run-queue latency"},
    {"sonde_sched_runq_latency_seconds", "cause", "preempted", "run-queue latency"},
    {"sonde_sched_runq_latency_seconds", "cause", "throttled", "run-queue latency"},
    {"sonde_sched_oncpu_seconds", nullptr, nullptr, "on-CPU time"},
    {"sonde_sched_offcpu_seconds", "reason", "disk", "off-CPU time"},
    {"sonde_sched_offcpu_seconds", "reason", "lock", "off-CPU time"},
    {"sonde_sched_offcpu_seconds", "reason", "network", "off-CPU time"},
    {"sonde_sched_offcpu_seconds", "reason", "sleep", "off-CPU time"},
    {"sonde_sched_offcpu_seconds", "reason", "fault", "off-CPU time"},
    {"sonde_sched_offcpu_seconds", "reason", "other", "off-CPU time"},
}};

constexpr std::array<const char*, SONDE_SCHED_DROPS> kSchedDropNames{"began before tracing", "no memory for task state",
                                                                     "pid collision", "clock went backward",
                                                                     "event not reported by the kernel"};

// "kworker/3:1-events" and "ksoftirqd/3" are the same thing on every CPU: "kworker", "ksoftirqd".
std::string kthread_name(const std::string& comm)
{
    return comm.substr(0, std::min(comm.find('/'), comm.size()));
}

class SchedProbe final : public Probe {
  public:
    SchedProbe(SkelPtr<sched_bpf> skel, ProgramSet programs, std::vector<Choice> choices, MapSizes sizes,
               const ProbeOptions& options)
        : skel_(std::move(skel)),
          programs_(std::move(programs)),
          choices_(std::move(choices)),
          sizes_(sizes),
          by_pid_(options.by_pid),
          ledger_(options.ended)
    {}

    Status attach() override
    {
        Status status = programs_.attach(skel_->obj);
        skel_->bss->counting = status ? 1 : 0;
        return status;
    }
    void detach() override
    {
        skel_->bss->counting = 0;
        programs_.detach();
    }
    Status read(Snapshot& into) override;
    void maintain() override;
    [[nodiscard]] uint64_t kernel_bytes() const override { return maps_bytes(skel_->obj); }

  private:
    struct SlotReading {
        ProcessKey key;
        SchedHistograms histograms;
    };
    using SlotReadings = std::map<uint32_t, SlotReading>;

    [[nodiscard]] uint32_t used_slots() const
    {
        return std::min(read_shared(skel_->data->slot_cursor), sizes_.processes);
    }
    [[nodiscard]] ProcessKey key_of(uint32_t slot, const sonde_process& process) const;
    Result<SlotReadings> read_slots(const std::vector<uint32_t>& slots);
    Status fold(const std::vector<uint32_t>& slots);
    void add_statuses(const ProcessTotals& totals, Snapshot& into);
    [[nodiscard]] uint32_t holders(uint32_t slot) const;

    SkelPtr<sched_bpf> skel_;
    ProgramSet programs_;
    std::vector<Choice> choices_;
    MapSizes sizes_;
    bool by_pid_;
    SlotLedger ledger_;
    std::vector<uint32_t> unhashed_;  // slots that no new task can find any more
    uint64_t slots_left_seen_ = 0;
};

ProcessKey SchedProbe::key_of(uint32_t slot, const sonde_process& process) const
{
    if (slot == SONDE_OTHER_SLOT) {
        return {"other", 0};
    }
    std::string comm(process.comm, strnlen(process.comm, sizeof(process.comm)));
    return {process.is_kthread != 0 ? kthread_name(comm) : comm, by_pid_ ? process.tgid : 0};
}

// REQUIRES: `slots` ascend.
Result<SchedProbe::SlotReadings> SchedProbe::read_slots(const std::vector<uint32_t>& slots)
{
    SlotReadings readings;
    if (slots.empty()) {
        return readings;
    }
    const auto [lowest, highest] = std::minmax_element(slots.begin(), slots.end());
    const size_t count = *highest - *lowest + 1;
    Result<MapWindow> processes =
        MapWindow::open(bpf_map__fd(skel_->maps.processes), sizeof(sonde_process), *lowest, count);
    if (!processes) {
        return processes.error().with("read processes");
    }
    HistReader reader(bpf_map__fd(skel_->maps.hist_chunks));
    constexpr size_t kWindowRows = 512;  // 1 MiB
    std::optional<MapWindow> rows;
    size_t rows_begin = 0;
    size_t rows_end = 0;
    for (const uint32_t slot : slots) {
        if (!rows || slot >= rows_end) {
            rows.reset();
            rows_begin = slot;
            rows_end = std::min<size_t>(slot + kWindowRows, *highest + 1);
            Result<MapWindow> opened = MapWindow::open(bpf_map__fd(skel_->maps.rows), sizeof(sonde_sched_rows),
                                                       rows_begin, rows_end - rows_begin);
            if (!opened) {
                return opened.error().with("read scheduler rows");
            }
            rows.emplace(std::move(*opened));
        }
        const auto& process = processes->at<sonde_process>(slot - *lowest);
        if (process.tgid == 0 && slot != SONDE_OTHER_SLOT) {
            continue;
        }
        SlotReading& into = readings[slot];
        into.key = key_of(slot, process);
        const auto& row = rows->at<sonde_sched_rows>(slot - rows_begin);
        for (size_t series = 0; series < SONDE_SCHED_SERIES; ++series) {
            reader.add(row.series[series], into.histograms[series]);
        }
    }
    if (Status fetched = reader.fetch(); !fetched) {
        return fetched.error();
    }
    return readings;
}

Status SchedProbe::read(Snapshot& into)
{
    std::vector<uint32_t> slots;
    for (uint32_t slot = 0; slot < used_slots(); ++slot) {
        slots.push_back(slot);
    }
    Result<SlotReadings> readings = read_slots(slots);
    if (!readings) {
        return readings.error();
    }
    for (auto& [slot, reading] : *readings) {
        ledger_.update(slot, reading.key, std::move(reading.histograms));
    }
    const ProcessTotals totals = ledger_.read();
    for (const auto& [key, histograms] : totals) {
        for (size_t series = 0; series < SONDE_SCHED_SERIES; ++series) {
            if (histograms[series].empty()) {
                continue;
            }
            const SeriesName& name = kSeriesNames[series];
            Labels labels{{"process", key.name}};
            if (key.pid != 0) {
                labels["pid"] = std::to_string(key.pid);
            }
            if (name.label != nullptr) {
                labels[name.label] = name.value;
            }
            into.histograms.push_back({name.metric, std::move(labels), histograms[series]});
        }
    }
    add_statuses(totals, into);
    return ok();
}

void SchedProbe::add_statuses(const ProcessTotals& totals, Snapshot& into)
{
    for (const Choice& choice : choices_) {
        ProbeStatus status = status_of(choice, skel_->obj, programs_);
        for (size_t series = 0; series < SONDE_SCHED_SERIES; ++series) {
            if (kSeriesNames[series].measurement == choice.measurement) {
                status.events += ledger_.count(series, totals);
            }
        }
        for (size_t drop = 0; drop < SONDE_SCHED_DROPS; ++drop) {
            const uint64_t n = read_shared(skel_->bss->counters.drops[drop]);
            if (n != 0) {
                status.discarded[kSchedDropNames[drop]] = n;
            }
        }
        const uint64_t merged =
            read_shared(skel_->bss->counters.slots_full) + read_shared(skel_->bss->counters.chunks_full);
        if (merged != 0) {
            status.state = ProbeState::kDegraded;
            status.reason = "too many processes for the tables: the excess is counted under process \"other\"";
        } else if (ledger_.without_name() != 0) {
            status.state = ProbeState::kDegraded;
            status.reason = "too many process names: the excess is counted under process \"other\"";
        }
        into.probes.push_back(std::move(status));
    }
}

// Settles the numbers of ended processes and gives their slots and chunks back to the kernel side.
// REQUIRES: no task holds or can find these slots.
Status SchedProbe::fold(const std::vector<uint32_t>& slots)
{
    Result<SlotReadings> readings = read_slots(slots);
    if (!readings) {
        return readings.error();
    }
    for (auto& [slot, reading] : *readings) {
        ledger_.close(slot, reading.key, std::move(reading.histograms));
    }
    const int rows_fd = bpf_map__fd(skel_->maps.rows);
    const int processes_fd = bpf_map__fd(skel_->maps.processes);
    for (const uint32_t slot : slots) {
        if (!readings->contains(slot)) {
            continue;  // never taken for good: the kernel side has put it back itself
        }
        sonde_sched_rows rows{};
        bpf_map_lookup_elem(rows_fd, &slot, &rows);
        const sonde_sched_rows no_rows{};
        const sonde_process nobody{};
        bpf_map_update_elem(processes_fd, &slot, &nobody, BPF_ANY);
        bpf_map_update_elem(rows_fd, &slot, &no_rows, BPF_ANY);
        for (const sonde_hist_row& row : rows.series) {
            for (const uint32_t chunk : row.chunk) {
                if (chunk == SONDE_HIST_NO_CHUNK) {
                    continue;
                }
                const sonde_hist_chunk no_chunk{};
                bpf_map_update_elem(bpf_map__fd(skel_->maps.hist_chunks), &chunk, &no_chunk, BPF_ANY);
                bpf_map_update_elem(bpf_map__fd(skel_->maps.hist_free), nullptr, &chunk, BPF_ANY);
            }
        }
        bpf_map_update_elem(bpf_map__fd(skel_->maps.slot_free), nullptr, &slot, BPF_ANY);
    }
    return ok();
}

// Ended processes give their slots back in two steps, a call apart: no new task can find the slot; then, if no
// task that was faster holds it, its numbers are folded away.
void SchedProbe::maintain()
{
    const uint64_t left = read_shared(skel_->bss->slots_left);
    if (left == slots_left_seen_ && unhashed_.empty()) {
        return;
    }
    slots_left_seen_ = left;
    const uint32_t used = used_slots();
    const int rows_fd = bpf_map__fd(skel_->maps.rows);
    std::vector<uint32_t> idle;
    for (const uint32_t slot : unhashed_) {
        if (holders(slot) == 0) {
            idle.push_back(slot);
        }
    }
    if (!fold(idle)) {
        return;  // tried again in the next call; nothing is lost
    }
    unhashed_.clear();
    Result<MapWindow> processes = MapWindow::open(bpf_map__fd(skel_->maps.processes), sizeof(sonde_process), 0, used);
    Result<MapWindow> rows = MapWindow::open(rows_fd, sizeof(sonde_sched_rows), 0, used);
    if (!processes || !rows) {
        return;
    }
    for (uint32_t slot = SONDE_OTHER_SLOT + 1; slot < used; ++slot) {
        const uint32_t tgid = read_shared(processes->at<sonde_process>(slot).tgid);
        if (tgid == 0 || read_shared(rows->at<sonde_sched_rows>(slot).threads) != 0) {
            continue;
        }
        uint32_t hashed = 0;
        const int hash_fd = bpf_map__fd(skel_->maps.slots_by_tgid);
        if (bpf_map_lookup_elem(hash_fd, &tgid, &hashed) == 0 && hashed == slot) {
            bpf_map_delete_elem(hash_fd, &tgid);
        }
        unhashed_.push_back(slot);
    }
}

// How many tasks hold a slot. If it cannot be read, somebody does.
uint32_t SchedProbe::holders(uint32_t slot) const
{
    const Result<MapWindow> row = MapWindow::open(bpf_map__fd(skel_->maps.rows), sizeof(sonde_sched_rows), slot, 1);
    return row ? read_shared(row->at<sonde_sched_rows>(0).threads) : 1;
}

void set_sizes(sched_bpf* skel, const MapSizes& sizes)
{
    bpf_map__set_max_entries(skel->maps.processes, sizes.processes);
    bpf_map__set_max_entries(skel->maps.rows, sizes.processes);
    bpf_map__set_max_entries(skel->maps.slots_by_tgid, sizes.processes);
    bpf_map__set_max_entries(skel->maps.slot_free, sizes.processes);
    bpf_map__set_max_entries(skel->maps.hist_chunks, sizes.sched_chunks);
    bpf_map__set_max_entries(skel->maps.hist_free, sizes.sched_chunks);
    bpf_map__set_max_entries(skel->maps.task_array, sizes.task_entries);
    bpf_map__set_autocreate(skel->maps.task_storage, sizes.task_storage);
    skel->rodata->nr_slots = sizes.processes;
    skel->rodata->hist_nr_chunks = sizes.sched_chunks;
    skel->rodata->task_array_mask = sizes.task_entries - 1;
    skel->rodata->task_store = sizes.task_storage ? SONDE_TASK_STORE_STORAGE : SONDE_TASK_STORE_ARRAY;
    skel->data->hist_cursor = 1 + SONDE_SCHED_SERIES * SONDE_HIST_CHUNKS;
}

Status set_other_slot(sched_bpf* skel)
{
    sonde_sched_rows rows{};
    rows.threads = SONDE_OTHER_SLOT_THREADS;
    for (uint32_t series = 0; series < SONDE_SCHED_SERIES; ++series) {
        rows.series[series] = row_with_chunks(1 + series * SONDE_HIST_CHUNKS);
    }
    const uint32_t slot = SONDE_OTHER_SLOT;
    if (bpf_map_update_elem(bpf_map__fd(skel->maps.rows), &slot, &rows, BPF_ANY) != 0) {
        return Error::from_errno(errno, "prepare the row for other processes");
    }
    return ok();
}

}  // namespace

Result<std::unique_ptr<Probe>> load_sched_probe(const ProbeOptions& options, const MapSizes& sizes,
                                                const std::vector<Choice>& choices, const KernelFeatures& features)
{
    const bpf_object_open_opts open = open_options(features);
    SkelPtr<sched_bpf> skel(sched_bpf__open_opts(&open));
    if (!skel) {
        return Error::from_errno(errno, "open BPF object sched");
    }
    ProgramSet programs;
    std::vector<Choice> mine;
    for (const Choice& choice : choices) {
        if (choice.probe == ProbeKind::kSched) {
            programs.add(choice);
            mine.push_back(choice);
        }
    }
    if (options.filter.kind == SONDE_FILTER_CGROUP) {
        programs.add("sonde_cgroup_attach");
    }
    programs.select(skel->obj);
    set_sizes(skel.get(), sizes);
    set_filter(skel->rodata, options.filter);
    skel->rodata->may_probe_read = features.probe_read_kernel.works;
    skel->rodata->switch_has_state = features.tracepoint_has_args("sched_switch", 4);
    const auto reasons = syscall_reasons();
    std::copy(reasons.begin(), reasons.end(), skel->rodata->syscall_reason);
    use_follow_targets(skel->maps.follow_targets, options);
    if (Status status = load_object(skel->skeleton, "sched"); !status) {
        return status.error();
    }
    if (Status status = set_other_slot(skel.get()); !status) {
        return status.error();
    }
    return std::unique_ptr<Probe>(
        std::make_unique<SchedProbe>(std::move(skel), std::move(programs), std::move(mine), sizes, options));
}

std::span<const char> sched_object()
{
    return object_bytes(&sched_bpf::elf_bytes);
}

}  // namespace sonde
