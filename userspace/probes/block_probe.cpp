// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "bpf/abi/block.h"
#include "userspace/probes/hist_reader.h"
#include "userspace/probes/object.h"
#include "userspace/probes/probe.h"
#include "userspace/probes/skeleton_types.h"

#include "block.skel.h"  // after skeleton_types.h

namespace sonde {
namespace {

constexpr std::array<const char*, SONDE_BLOCK_OPS> kOpNames{"read", "write", "flush", "discard", "other"};
constexpr std::array<const char*, SONDE_BLOCK_STAGES> kStageNames{"total", "queue", "device"};
constexpr std::array<const char*, SONDE_BLOCK_DROPS> kBlockDropNames{
    "issued before tracing: queue and device time unknown",
    "two requests shared an entry: queue and device time unknown",
    "the kernel did not account it (iostats off, or a command of the driver): total and queue time unknown",
    "clock went backward"};
constexpr uint32_t kBlockFallbackRows = uint32_t{SONDE_BLOCK_OPS} * uint32_t{SONDE_BLOCK_STAGES};

struct OpTotals {
    std::array<Histogram, SONDE_BLOCK_STAGES> stages;
    uint64_t bytes = 0;
    uint64_t errors = 0;
};

// Whether nothing has been counted. Each request that could be timed has a total, the others have bytes or an error.
bool is_unused(const sonde_block_series& series)
{
    return series.bytes == 0 && series.errors == 0 && series.stage[SONDE_BLOCK_TOTAL].min_inverted == 0;
}

constexpr std::string_view kFlushesNotMine =
    "flushes do not show: a worker of the kernel issues them, and this kernel (before 6.5) does not report who asked";

class BlockProbe final : public Probe {
  public:
    BlockProbe(SkelPtr<block_bpf> skel, ProgramSet programs, Choice choice, uint32_t cpus, const RootedFs& fs)
        : skel_(std::move(skel)), programs_(std::move(programs)), choice_(std::move(choice)), cpus_(cpus), fs_(fs)
    {}

    Status attach() override { return programs_.attach(skel_->obj); }
    void detach() override { programs_.detach(); }
    Status read(Snapshot& into) override;
    [[nodiscard]] uint64_t kernel_bytes() const override { return maps_bytes(skel_->obj); }

  private:
    using Key = std::pair<std::string, uint32_t>;  // device, operation

    [[nodiscard]] const std::string& device_name(uint32_t slot);
    [[nodiscard]] ProbeStatus status(const std::map<Key, OpTotals>& totals) const;

    SkelPtr<block_bpf> skel_;
    ProgramSet programs_;
    Choice choice_;
    uint32_t cpus_;
    const RootedFs& fs_;
    std::array<std::string, SONDE_BLOCK_DEVICES> names_;
};

// "nvme0n1"; "259:0" when it had gone before it was first asked for. Kept: a series does not change its name.
const std::string& BlockProbe::device_name(uint32_t slot)
{
    std::string& name = names_[slot];
    if (!name.empty()) {
        return name;
    }
    if (slot == SONDE_BLOCK_OTHER_DEVICE) {
        return name = "other";
    }
    const sonde_block_device& device = skel_->bss->devices[slot];
    const std::string number = std::to_string(device.major) + ":" + std::to_string(device.minor);
    const Result<std::string> link = fs_.read_link("/sys/dev/block/" + number);
    return name = link ? link->substr(link->rfind('/') + 1) : number;
}

Status BlockProbe::read(Snapshot& into)
{
    const uint32_t count = cpus_ * SONDE_BLOCK_DEVICES + 1;
    Result<MapWindow> rows = MapWindow::open(bpf_map__fd(skel_->maps.rows), sizeof(sonde_block_rows), 0, count);
    if (!rows) {
        return rows.error().with("read block rows");
    }
    std::map<Key, OpTotals> totals;
    HistReader reader(bpf_map__fd(skel_->maps.hist_chunks));
    const uint32_t used = std::min<uint32_t>(read_shared(skel_->data->devices_used), SONDE_BLOCK_DEVICES);
    for (uint32_t i = 0; i < count; ++i) {
        const uint32_t slot = i + 1 == count ? SONDE_BLOCK_OTHER_DEVICE : i % SONDE_BLOCK_DEVICES;
        if (slot >= used) {
            continue;
        }
        const auto& row = rows->at<sonde_block_rows>(i);
        for (uint32_t op = 0; op < SONDE_BLOCK_OPS; ++op) {
            const sonde_block_series& series = row.op[op];
            if (is_unused(series)) {
                continue;
            }
            OpTotals& sum = totals[{device_name(slot), op}];
            sum.bytes += series.bytes;
            sum.errors += series.errors;
            for (uint32_t stage = 0; stage < SONDE_BLOCK_STAGES; ++stage) {
                reader.add(series.stage[stage], sum.stages[stage]);
            }
        }
    }
    if (Status fetched = reader.fetch(); !fetched) {
        return fetched;
    }
    for (const auto& [key, sum] : totals) {
        const Labels labels{{"device", key.first}, {"op", kOpNames[key.second]}};
        for (uint32_t stage = 0; stage < SONDE_BLOCK_STAGES; ++stage) {
            if (!sum.stages[stage].empty()) {
                Labels with_stage = labels;
                with_stage["stage"] = kStageNames[stage];
                into.histograms.push_back({"sonde_block_io_latency_seconds", std::move(with_stage), sum.stages[stage]});
            }
        }
        into.counters.push_back({"sonde_block_io_bytes_total", labels, sum.bytes});
        into.counters.push_back({"sonde_block_io_errors_total", labels, sum.errors});
    }
    into.probes.push_back(status(totals));
    return ok();
}

ProbeStatus BlockProbe::status(const std::map<Key, OpTotals>& totals) const
{
    ProbeStatus status = status_of(choice_, skel_->obj, programs_);
    for (const auto& [key, sum] : totals) {
        status.events += sum.stages[SONDE_BLOCK_TOTAL].count();
    }
    for (size_t drop = 0; drop < SONDE_BLOCK_DROPS; ++drop) {
        const uint64_t n = read_shared(skel_->bss->counters.drops[drop]);
        if (n != 0) {
            status.discarded[kBlockDropNames[drop]] = n;
        }
    }
    if (read_shared(skel_->bss->counters.devices_full) + read_shared(skel_->bss->counters.chunks_full) != 0) {
        status.state = ProbeState::kDegraded;
        status.reason = "too many devices for the tables: the excess is counted under device \"other\"";
    } else if (programs_.names().contains("sonde_insert") || programs_.names().contains("sonde_insert_raw")) {
        status.state = ProbeState::kDegraded;
        status.reason += (status.reason.empty() ? "" : "; ") + std::string(kFlushesNotMine);
    }
    return status;
}

Status set_fallback(block_bpf* skel, uint32_t cpus)
{
    sonde_block_rows rows{};
    uint32_t chunk = 1;
    for (sonde_block_series& series : rows.op) {
        for (sonde_hist_row& row : series.stage) {
            row = row_with_chunks(chunk);
            chunk += SONDE_HIST_CHUNKS;
        }
    }
    const uint32_t index = cpus * SONDE_BLOCK_DEVICES;
    if (bpf_map_update_elem(bpf_map__fd(skel->maps.rows), &index, &rows, BPF_ANY) != 0) {
        return Error::from_errno(errno, "prepare the row for other devices");
    }
    return ok();
}

// With a filter the submitter must be seen: as early as this kernel allows.
void add_submitter_programs(const KernelFeatures& features, const Choice& choice, ProgramSet& programs)
{
    const bool typed = choice.row->needs.front() == Need::kTypedTracepoint;
    if (features.tracepoints.contains("block_io_start")) {
        programs.add(typed ? "sonde_io_start" : "sonde_io_start_raw");
    } else {
        programs.add(typed ? "sonde_insert" : "sonde_insert_raw");
    }
}

}  // namespace

Result<std::unique_ptr<Probe>> load_block_probe(const ProbeOptions& options, const MapSizes& sizes,
                                                const std::vector<Choice>& choices, const KernelFeatures& features,
                                                const RootedFs& fs)
{
    const bpf_object_open_opts open = open_options(features);
    SkelPtr<block_bpf> skel(block_bpf__open_opts(&open));
    if (!skel) {
        return Error::from_errno(errno, "open BPF object block");
    }
    const auto choice =
        std::find_if(choices.begin(), choices.end(), [](const Choice& c) { return c.probe == ProbeKind::kBlock; });
    ProgramSet programs;
    programs.add(*choice);
    if (options.filter.kind != SONDE_FILTER_NONE) {
        add_submitter_programs(features, *choice, programs);
    }
    programs.select(skel->obj);
    bpf_map__set_max_entries(skel->maps.rows, options.cpus * SONDE_BLOCK_DEVICES + 1);
    bpf_map__set_max_entries(skel->maps.hist_chunks, sizes.local_chunks);
    bpf_map__set_max_entries(skel->maps.hist_free, options.cpus + 1);
    skel->rodata->nr_cpus = options.cpus;
    skel->rodata->hist_nr_chunks = sizes.local_chunks;
    skel->data->hist_cursor = 1 + kBlockFallbackRows * SONDE_HIST_CHUNKS;
    set_filter(skel->rodata, options.filter);
    use_follow_targets(skel->maps.follow_targets, options);
    if (Status status = load_object(skel->skeleton, "block"); !status) {
        return status.error();
    }
    if (Status status = set_fallback(skel.get(), options.cpus); !status) {
        return status.error();
    }
    return std::unique_ptr<Probe>(
        std::make_unique<BlockProbe>(std::move(skel), std::move(programs), *choice, options.cpus, fs));
}

std::span<const char> block_object()
{
    return object_bytes(&block_bpf::elf_bytes);
}

}  // namespace sonde
