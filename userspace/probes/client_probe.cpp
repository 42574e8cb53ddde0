// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/client_probe.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>

#include "bpf/abi/client.h"
#include "userspace/probes/hist_reader.h"
#include "userspace/probes/object.h"
#include "userspace/probes/skeleton_types.h"
#include "userspace/probes/uprobe_links.h"

#include "client.skel.h"  // after skeleton_types.h

namespace sonde {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kMeasurement = "client calls";
constexpr uint32_t kChunks = 8192;
constexpr std::chrono::milliseconds kRateWindow{500};
constexpr std::array<const char*, SONDE_CLIENT_DROPS> kDropNames{
    "began before tracing", "too many calls under way", "no goroutine where it should be", "clock went backward"};
constexpr size_t kNamed = 5;  // functions that a reason names

// "a, b and 3 more"
std::string some_of(const std::vector<std::string>& names)
{
    std::string text;
    for (size_t i = 0; i < std::min(kNamed, names.size()); ++i) {
        text += (i == 0 ? "" : ", ") + names[i];
    }
    return text + (names.size() > kNamed ? " and " + std::to_string(names.size() - kNamed) + " more" : "");
}

struct UprobeKernel {
    bool multi = false;               // one link for many places
    bool optimises_nop5 = false;      // at the cost of the red zone
    bool reads_stacks = false;        // of goroutines
    bool returns_by_syscall = false;  // since 6.11; early ones let seccomp filters see it
};

class ClientProbeImpl final : public ClientProbe {
  public:
    ClientProbeImpl(SkelPtr<client_bpf> skel, std::vector<ClientTarget> targets, const UprobeKernel& kernel,
                    const CallLimits& limits)
        : skel_(std::move(skel)), targets_(std::move(targets)), kernel_(kernel), limits_(limits)
    {}

    Status attach() override;
    void detach() override
    {
        for (Process& process : processes_) {
            process.links = {};
        }
    }
    Status read(Snapshot& into) override;
    void maintain() override;
    [[nodiscard]] uint64_t kernel_bytes() const override { return maps_bytes(skel_->obj); }
    [[nodiscard]] std::vector<std::string> take_refusals() override { return std::exchange(refusals_, {}); }

  private:
    struct Call {
        const ClientCall* call;
        uint64_t seen = 0;      // probes hit, when looked at last
        uint64_t too_fast = 0;  // the rate at which it was let go
        bool refused = false;
    };
    struct Process {
        const ClientTarget* target = nullptr;
        uint32_t first = 0;  // index of the row of its first call
        std::vector<Call> calls;
        UprobeLinks links;
        bool was_attached = false;
        uint32_t generation = 0;  // of its probes
        std::string lost;         // why its probes are gone before the end
    };

    [[nodiscard]] std::vector<UprobePlace> places_of(const Process& process) const;
    [[nodiscard]] std::string refusal(const ClientTarget& target, const ClientCall& call) const;
    Status attach_process(Process& process);
    Status put_in_place(Process& process, const std::vector<UprobePlace>& places);
    [[nodiscard]] static bool is_same_program(const ClientTarget& target);
    void drop_changed(Process& process);
    void let_go(Process& process, const sonde_client_call* rows, double past_s);
    [[nodiscard]] Result<MapWindow> window() const
    {
        return MapWindow::open(bpf_map__fd(skel_->maps.calls), sizeof(sonde_client_call), 0, SONDE_CLIENT_CALLS + 1);
    }
    void add_status(const sonde_client_call* rows, Snapshot& into) const;

    SkelPtr<client_bpf> skel_;
    std::vector<ClientTarget> targets_;
    UprobeKernel kernel_;
    CallLimits limits_;
    std::vector<Process> processes_;
    std::vector<std::string> refusals_;
    Clock::time_point looked_at_{};
};

// Ends before beginnings: a call that begins meanwhile is seen ending.
std::vector<UprobePlace> ClientProbeImpl::places_of(const Process& process) const
{
    const auto& programs = skel_->progs;
    std::vector<UprobePlace> places;
    std::vector<UprobePlace> begins;
    for (size_t i = 0; i < process.calls.size(); ++i) {
        const Call& call = process.calls[i];
        const bool go = call.call->go;
        const uint64_t cookie = SONDE_CLIENT_COOKIE(process.first + static_cast<uint32_t>(i), process.generation);
        if (call.refused || call.too_fast != 0) {
            continue;
        }
        for (const CallSites& copy : call.call->copies) {
            for (const uint64_t end : copy.ends) {
                places.push_back({go ? programs.sonde_go_end : programs.sonde_call_end, end, cookie, false});
            }
            if (copy.ends.empty()) {
                places.push_back({programs.sonde_call_returned, copy.function, cookie, true});
            }
            begins.push_back({go ? programs.sonde_go_begin : programs.sonde_call_begin, copy.begin, cookie, false});
        }
    }
    places.insert(places.end(), begins.begin(), begins.end());
    return places;
}

// Why a function is let alone on this kernel; empty if it is not.
std::string ClientProbeImpl::refusal(const ClientTarget& target, const ClientCall& call) const
{
    const bool nop5 =
        std::any_of(call.copies.begin(), call.copies.end(), [](const CallSites& copy) { return copy.begin_is_nop5; });
    if (nop5 && kernel_.optimises_nop5) {
        return "it begins with a five-byte nop, which this kernel would replace by a call that writes below the stack "
               "pointer, where functions may keep data";
    }
    const bool returns =
        std::any_of(call.copies.begin(), call.copies.end(), [](const CallSites& copy) { return copy.ends.empty(); });
    if (returns && target.seccomp && kernel_.returns_by_syscall) {
        return "it needs a return probe, for which this kernel has the process make a system call that its seccomp filter "
               "may kill it for";
    }
    if (call.go && !kernel_.reads_stacks) {
        return "where the kernel refuses bpf_probe_read_kernel (lockdown=confidentiality), libbpf loads no program that "
               "reads a goroutine's stack";
    }
    return "";
}

Status ClientProbeImpl::attach_process(Process& process)
{
    const ClientTarget& target = *process.target;
    const std::string name = "process " + std::to_string(target.pid);
    for (Call& call : process.calls) {
        const std::string why_not = refusal(target, *call.call);
        if (!why_not.empty()) {
            call.refused = true;
            refusals_.push_back(Error{0, why_not}.with(name).with(call.call->name).what);
        }
    }
    const std::vector<UprobePlace> places = places_of(process);
    if (places.empty()) {
        return Error{ENOTSUP, refusals_.empty() ? name + ": there is no function to attach to" : refusals_.back()};
    }
    return put_in_place(process, places);
}

bool ClientProbeImpl::is_same_program(const ClientTarget& target)
{
    const Result<FileIdentity> now = TargetFile::identity_of(target.path);
    return now && *now == target.file;
}

Status ClientProbeImpl::put_in_place(Process& process, const std::vector<UprobePlace>& places)
{
    const ClientTarget& target = *process.target;
    const std::string name = "process " + std::to_string(target.pid);
    const Error changed{ESTALE, name + ": its program has changed, or it has ended"};
    if (!is_same_program(target)) {
        return changed;
    }
    Result<UprobeLinks> links = UprobeLinks::attach(target.pid, target.path, places, kernel_.multi);
    if (!links) {
        return links.error().with(name);
    }
    if (!is_same_program(target)) {
        return changed;
    }
    process.links = std::move(*links);
    process.was_attached = true;
    return ok();
}

Status ClientProbeImpl::attach()
{
    Error last{ENOENT, "there is no function to attach to"};
    bool attached = false;
    uint32_t first = 0;
    for (const ClientTarget& target : targets_) {
        Process process;
        process.target = &target;
        process.first = first;
        for (const ClientCall& call : target.calls) {
            process.calls.push_back({&call});
        }
        first += static_cast<uint32_t>(process.calls.size());
        if (Status status = attach_process(process); status) {
            attached = true;
        } else {
            last = status.error();
            refusals_.push_back(last.what);
        }
        processes_.push_back(std::move(process));
    }
    looked_at_ = Clock::now();
    return attached ? ok() : Status(last);
}

// Takes all probes of the process back, and then puts those in place that may stay: for a moment their calls are not
// seen.
void ClientProbeImpl::let_go(Process& process, const sonde_client_call* rows, double past_s)
{
    std::vector<std::pair<double, Call*>> rates;
    double total = 0;
    for (size_t i = 0; i < process.calls.size(); ++i) {
        Call& call = process.calls[i];
        const sonde_client_call& row = rows[process.first + i];
        const uint64_t hits = read_shared(row.begun) + read_shared(row.ended);
        const double rate = static_cast<double>(hits - call.seen) / past_s;
        call.seen = hits;
        total += rate;
        rates.emplace_back(rate, &call);
    }
    std::sort(rates.begin(), rates.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    bool any = false;
    for (const auto& [rate, call] : rates) {
        if (call->too_fast == 0 && (rate > 2.0 * static_cast<double>(limits_.calls_per_second) ||
                                    total > static_cast<double>(limits_.probes_per_second))) {
            call->too_fast = static_cast<uint64_t>(rate / 2);
            total -= rate;
            any = true;
        }
    }
    if (!any || process.links.empty()) {
        return;
    }
    process.links = {};
    ++process.generation;
    const std::vector<UprobePlace> places = places_of(process);
    if (!places.empty()) {
        if (Status status = put_in_place(process, places); !status) {
            process.lost = status.error().what;
        }
    }
}

// exec, or an upgrade in place and a start of that: the offsets mean nothing in it.
void ClientProbeImpl::drop_changed(Process& process)
{
    if (!process.links.empty() && !is_same_program(*process.target)) {
        process.links = {};
        process.lost = "process " + std::to_string(process.target->pid) + ": its program has changed, or it has ended";
    }
}

void ClientProbeImpl::maintain()
{
    const Clock::time_point now = Clock::now();
    const std::chrono::duration<double> past = now - looked_at_;
    if (past < kRateWindow) {
        return;
    }
    const Result<MapWindow> rows = window();
    if (!rows) {
        return;
    }
    for (Process& process : processes_) {
        drop_changed(process);
        let_go(process, &rows->at<sonde_client_call>(0), past.count());
    }
    looked_at_ = now;
}

void ClientProbeImpl::add_status(const sonde_client_call* rows, Snapshot& into) const
{
    ProbeStatus status;
    status.measurement = kMeasurement;
    status.hook = kernel_.multi ? "uprobe_multi" : "uprobe";
    status.hook += " on first instructions and returns";
    status.state = ProbeState::kOk;
    uint64_t unfinished = 0;
    std::vector<std::string> silent, fast;
    std::map<std::string, uint64_t> begun;  // by function, in all processes that it could be attached in
    for (const Process& process : processes_) {
        for (size_t i = 0; i < process.calls.size(); ++i) {
            const Call& call = process.calls[i];
            const sonde_client_call& row = rows[process.first + i];
            if (call.too_fast != 0) {
                fast.push_back(call.call->name + " (" + std::to_string(call.too_fast) + " calls per second)");
            } else if (!call.refused && process.was_attached) {
                begun[call.call->name] += row.begun;
            }
            status.events += row.begun;
            unfinished += row.begun > row.ended ? row.begun - row.ended : 0;
            for (size_t drop = 0; drop < SONDE_CLIENT_DROPS; ++drop) {
                if (row.drops[drop] != 0) {
                    status.discarded[kDropNames[drop]] += row.drops[drop];
                }
            }
        }
    }
    if (unfinished != 0) {
        status.discarded["not seen returning: under way, or left by a panic, a jump or an exit"] = unfinished;
    }
    std::vector<std::string> lost;
    for (const Process& process : processes_) {
        if (!process.lost.empty()) {
            lost.push_back(process.lost);
        }
    }
    for (const auto& [name, times] : begun) {
        if (times == 0) {
            silent.push_back(name);
        }
    }
    if (read_shared(skel_->bss->counters.chunks_full) != 0) {
        status.discarded["no room for their distribution"] = read_shared(skel_->bss->counters.chunks_full);
    }
    for (const auto& [what, names] :
         {std::pair{"let go, called too often: ", &fast}, std::pair{"attached, but not called so far: ", &silent},
          std::pair{"taken back: ", &lost}}) {
        if (!names->empty()) {
            status.state = ProbeState::kDegraded;
            status.reason += (status.reason.empty() ? "" : "; ") + std::string(what) + some_of(*names);
        }
    }
    into.probes.push_back(std::move(status));
}

Status ClientProbeImpl::read(Snapshot& into)
{
    const Result<MapWindow> window_of_rows = window();
    if (!window_of_rows) {
        return window_of_rows.error().with("read rows of calls");
    }
    const sonde_client_call* rows = &window_of_rows->at<sonde_client_call>(0);
    // Processes of one name are one series, and so are the calls of a function in them.
    std::map<Labels, Histogram> series;
    HistReader reader(bpf_map__fd(skel_->maps.hist_chunks));
    for (const Process& process : processes_) {
        for (size_t i = 0; i < process.calls.size(); ++i) {
            const Labels labels{{"client", process.target->client},
                                {"process", process.target->process},
                                {"call", process.calls[i].call->name}};
            reader.add(rows[process.first + i].row, series[labels]);
        }
    }
    if (Status fetched = reader.fetch(); !fetched) {
        return fetched;
    }
    for (auto& [labels, histogram] : series) {
        if (!histogram.empty()) {
            into.histograms.push_back({"sonde_client_call_seconds", labels, std::move(histogram)});
        }
    }
    add_status(rows, into);
    return ok();
}

}  // namespace

Result<std::unique_ptr<ClientProbe>> load_client_probe(std::vector<ClientTarget> targets,
                                                       const KernelFeatures& features, const CallLimits& limits)
{
    size_t calls = 0;
    for (const ClientTarget& target : targets) {
        calls += target.calls.size();
    }
    if (calls > SONDE_CLIENT_CALLS) {
        return Error{E2BIG, std::to_string(calls) + " functions of processes: " + std::to_string(SONDE_CLIENT_CALLS) +
                                " at most"};
    }
    const bpf_object_open_opts open = open_options(features);
    SkelPtr<client_bpf> skel(client_bpf__open_opts(&open));
    if (!skel) {
        return Error::from_errno(errno, "open BPF object client");
    }
    const UprobeKernel kernel{try_uprobe_multi().works, features.function_args.contains("arch_uprobe_optimize"),
                              features.probe_read_kernel.works, features.function_args.contains("__x64_sys_uretprobe")};
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skel->obj)
    {
        if (kernel.multi) {
            bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(kAttachUprobeMulti));
        }
    }
    bpf_program__set_autoload(skel->progs.sonde_go_begin, kernel.reads_stacks);
    bpf_program__set_autoload(skel->progs.sonde_go_end, kernel.reads_stacks);
    bpf_map__set_max_entries(skel->maps.hist_chunks, kChunks);
    skel->rodata->hist_nr_chunks = kChunks;
    skel->data->hist_cursor = 1 + SONDE_HIST_CHUNKS;
    if (Status status = load_object(skel->skeleton, "client"); !status) {
        return status.error();
    }
    sonde_client_call other{};
    other.row = row_with_chunks(1);
    const uint32_t index = SONDE_CLIENT_CALLS;
    if (bpf_map_update_elem(bpf_map__fd(skel->maps.calls), &index, &other, BPF_ANY) != 0) {
        return Error::from_errno(errno, "prepare the row for other calls");
    }
    uint32_t row = 0;
    for (const ClientTarget& target : targets) {
        for (size_t i = 0; i < target.calls.size(); ++i, ++row) {
            sonde_client_call call{};
            call.tgid = static_cast<uint32_t>(target.pid);
            if (bpf_map_update_elem(bpf_map__fd(skel->maps.calls), &row, &call, BPF_ANY) != 0) {
                return Error::from_errno(errno, "prepare the rows of calls");
            }
        }
    }
    return std::unique_ptr<ClientProbe>(
        std::make_unique<ClientProbeImpl>(std::move(skel), std::move(targets), kernel, limits));
}

std::span<const char> client_object()
{
    return object_bytes(&client_bpf::elf_bytes);
}

}  // namespace sonde
