// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/client_probe.h"

#include <bpf/bpf.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <set>

#include "bpf/abi/client.h"
#include "userspace/probes/client_process.h"
#include "userspace/probes/client_series.h"
#include "userspace/probes/hist_reader.h"
#include "userspace/probes/object.h"
#include "userspace/probes/skeleton_types.h"

#include "client.skel.h"  // after skeleton_types.h

namespace sonde {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kMeasurement = "client calls";
constexpr uint32_t kChunks = 8192;
constexpr std::chrono::milliseconds kRateWindow{500};
constexpr std::array<const char*, SONDE_CLIENT_DROPS> kDropNames{
    "began before tracing, or forgotten", "too many calls under way", "no goroutine where it should be",
    "clock went backward"};
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

// "1.5%"
std::string percent(double share)
{
    std::array<char, 32> text;
    std::snprintf(text.data(), text.size(), "%.2g%%", share * 100);
    return text.data();
}

uint64_t monotonic_ns()
{
    constexpr uint64_t kNsPerSecond = 1'000'000'000;
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);  // as bpf_ktime_get_ns
    return static_cast<uint64_t>(now.tv_sec) * kNsPerSecond + static_cast<uint64_t>(now.tv_nsec);
}

// Calls that have begun and not ended.
struct UnderWay {
    uint64_t calls = 0;
    uint64_t oldest_ns = UINT64_MAX;  // when the first of them began
};

class ClientProbeImpl final : public ClientProbe {
  public:
    ClientProbeImpl(SkelPtr<client_bpf> skel, std::vector<ClientTarget> targets, const UprobeKernel& kernel,
                    const CallLimits& limits, FunctionRows rows)
        : skel_(std::move(skel)),
          first_targets_(std::move(targets)),
          kernel_(kernel),
          limits_(limits),
          rows_(std::move(rows)),
          series_(bpf_map__fd(skel_->maps.texts))
    {}

    ~ClientProbeImpl() override { UprobeLinks::close_together(release_all()); }
    ClientProbeImpl(const ClientProbeImpl&) = delete;
    ClientProbeImpl& operator=(const ClientProbeImpl&) = delete;

    Status attach() override;
    Status add(ClientTarget target) override;
    void detach() override;
    Status read(Snapshot& into) override;
    void maintain() override;
    [[nodiscard]] uint64_t kernel_bytes() const override { return maps_bytes(skel_->obj); }
    [[nodiscard]] std::vector<std::string> take_refusals() override { return std::exchange(refusals_, {}); }
    [[nodiscard]] Extent extent() const override;

  private:
    [[nodiscard]] std::vector<UprobeLinks> release_all();
    void measure_cost();
    void set_stopped(uint64_t value)
    {
        volatile auto& stopped = skel_->bss->counters.stopped;
        stopped = value;
    }
    void forget(const ClientProcess& process);
    void for_each_under_way(const std::function<void(pid_t pid, uint32_t series, uint64_t began_ns)>& visit) const;
    void let_go(const std::vector<ClientProcess*>& over);
    void lose(std::string what);
    [[nodiscard]] std::map<uint32_t, UnderWay> under_way() const;
    [[nodiscard]] std::vector<CallCounts> counts() const;
    void add_gauges(const std::map<uint32_t, UnderWay>& calls, Snapshot& into) const;
    void add_counters(Snapshot& into) const;
    void add_facts(const std::vector<CallCounts>& counts, Snapshot& into) const;
    void add_status(const std::vector<CallCounts>& counts, uint64_t calls_under_way, Snapshot& into);

    SkelPtr<client_bpf> skel_;
    std::vector<ClientTarget> first_targets_;
    UprobeKernel kernel_;
    CallLimits limits_;
    UprobeCost cost_;
    std::vector<UprobeLinks> own_links_;  // that the cost was measured with
    FunctionRows rows_;
    ClientSeries series_;
    std::vector<std::unique_ptr<ClientProcess>> processes_;  // before rows_ and series_ are gone
    std::vector<std::string> refusals_;
    std::vector<std::string> lost_;  // why processes lost their probes before they ended
    uint64_t left_ = 0;              // calls that no return was seen of, so far
    uint64_t cut_off_ = 0;           // calls that were under way when the probes of others were taken back
    std::map<uint32_t, UnderWay> last_under_way_;  // when tracing ended
    uint64_t stopped_ns_ = 0;
    bool attached_ = false;
    Clock::time_point looked_at_{};
};

Status ClientProbeImpl::attach()
{
    Error last{ENOENT, "there is no function to attach to"};
    attached_ = true;
    if (limits_.budget > 0) {
        measure_cost();
    }
    set_stopped(1);  // nothing is counted before all is there
    for (ClientTarget& target : first_targets_) {
        if (Status status = add(std::move(target)); !status) {
            last = status.error();
            refusals_.push_back(last.what);
        }
    }
    first_targets_.clear();
    looked_at_ = Clock::now();
    set_stopped(0);
    return processes_.empty() ? Status(last) : ok();
}

// Where it cannot be measured there is no budget, but still a limit of calls.
void ClientProbeImpl::measure_cost()
{
    sonde_client_function row{};
    row.tgid = static_cast<uint32_t>(::getpid());
    row.series = SONDE_CLIENT_SERIES + 1;  // there is none: nothing is recorded
    const Result<uint32_t> index = rows_.take(row);
    if (!index) {
        return;
    }
    const Result<UprobeCost> cost = measure_uprobe_cost([this, &index](uint64_t offset, bool at_end) -> Status {
        bpf_program* program = at_end ? skel_->progs.sonde_call_end : skel_->progs.sonde_call_begin;
        Result<UprobeLinks> links = UprobeLinks::attach(
            ::getpid(), "/proc/self/exe", {{program, offset, rows_.cookie(*index), false, 0}}, kernel_.multi);
        if (!links) {
            return links.error();
        }
        own_links_.push_back(std::move(*links));
        return ok();
    });
    cost_ = cost ? *cost : UprobeCost{};
}

Status ClientProbeImpl::add(ClientTarget target)
{
    if (std::any_of(processes_.begin(), processes_.end(), [&target](const auto& process) {
            const ClientTarget& known = process->target();
            return known.pid == target.pid && known.file == target.file && known.client == target.client;
        })) {
        return ok();  // it is there already
    }
    Result<std::unique_ptr<ClientProcess>> process =
        ClientProcess::attach(std::move(target), *skel_, kernel_, rows_, series_, refusals_);
    if (!process) {
        return process.error();
    }
    processes_.push_back(std::move(*process));
    return ok();
}

void ClientProbeImpl::detach()
{
    // The probes go when this goes: that takes its time, in which nobody is to wait for the numbers.
    set_stopped(1);
    stopped_ns_ = monotonic_ns();
    last_under_way_ = under_way();
    attached_ = false;
}

std::vector<UprobeLinks> ClientProbeImpl::release_all()
{
    std::vector<UprobeLinks> links;
    std::transform(processes_.begin(), processes_.end(), std::back_inserter(links),
                   [](const auto& process) { return process->release(); });
    std::move(own_links_.begin(), own_links_.end(), std::back_inserter(links));
    return links;
}

ClientProbe::Extent ClientProbeImpl::extent() const
{
    Extent extent;
    std::set<pid_t> pids;
    for (const auto& process : processes_) {
        pids.insert(process->target().pid);
        extent.calls += process->calls().size();
    }
    extent.processes = pids.size();
    return extent;
}

// Keeps what was counted in it. The process is destroyed behind this, and its rows are given back.
void ClientProbeImpl::forget(const ClientProcess& process)
{
    for (const ClientProcess::Call& call : process.calls()) {
        series_.entries()[call.series].ended_processes.add(rows_.rows()[call.row]);
    }
}

void ClientProbeImpl::maintain()
{
    if (Clock::now() - looked_at_ < kRateWindow || !attached_) {
        return;
    }
    std::vector<std::unique_ptr<ClientProcess>> gone;
    std::vector<ClientProcess*> over;
    for (std::unique_ptr<ClientProcess>& process : processes_) {
        if (process->has_ended()) {
            gone.push_back(std::move(process));
        } else if (!process->is_same_program()) {
            lose("process " + std::to_string(process->target().pid) + ": its program has changed");
            gone.push_back(std::move(process));
        } else if (process->choose_to_let_go(limits_, cost_)) {
            over.push_back(process.get());
        }
    }
    std::erase(processes_, nullptr);
    let_go(over);
    std::vector<UprobeLinks> links;
    std::transform(gone.begin(), gone.end(), std::back_inserter(links), [](const auto& p) { return p->release(); });
    UprobeLinks::close_together(std::move(links));
    for (const std::unique_ptr<ClientProcess>& process : gone) {
        forget(*process);
    }
    looked_at_ = Clock::now();
}

void ClientProbeImpl::lose(std::string what)
{
    constexpr size_t kMostKept = 64;
    if (lost_.size() < kMostKept) {
        lost_.push_back(std::move(what));
    }
}

void ClientProbeImpl::let_go(const std::vector<ClientProcess*>& over)
{
    if (over.empty()) {
        return;
    }
    std::set<pid_t> pids;
    for (const ClientProcess* process : over) {
        pids.insert(process->target().pid);
    }
    for_each_under_way([&](pid_t pid, uint32_t, uint64_t) { cut_off_ += pids.contains(pid) ? 1 : 0; });
    std::vector<UprobeLinks> links;
    std::transform(over.begin(), over.end(), std::back_inserter(links), [](ClientProcess* p) { return p->let_go(); });
    UprobeLinks::close_together(std::move(links));
    for (ClientProcess* process : over) {
        if (Status status = process->put_back(); !status) {
            lose(status.error().what);  // it is looked at again, and found to have ended or changed
        }
    }
}

void ClientProbeImpl::for_each_under_way(
    const std::function<void(pid_t pid, uint32_t series, uint64_t began_ns)>& visit) const
{
    constexpr uint64_t kTaken = 1;
    constexpr unsigned kTgidShift = 32;
    constexpr size_t kAtOnce = 1024;  // not all in memory
    std::optional<Result<MapWindow>> window;
    for (size_t i = 0; i < SONDE_CLIENT_BUCKETS; ++i) {
        if (i % kAtOnce == 0) {
            window.reset();
            window.emplace(
                MapWindow::open(bpf_map__fd(skel_->maps.in_flight), sizeof(sonde_client_bucket), i, kAtOnce));
        }
        if (!*window) {
            break;
        }
        const auto& bucket = (*window)->at<sonde_client_bucket>(i % kAtOnce);
        for (size_t way = 0; way < SONDE_CLIENT_WAYS; ++way) {
            const uint64_t at_ns = read_shared(bucket.at_ns[way]);
            const uint64_t whose = read_shared(bucket.whose[way]);
            // What an earlier use of the row has left does not count.
            const auto pid = static_cast<pid_t>(whose >> kTgidShift);
            if (at_ns > kTaken && rows_.is_current(pid, static_cast<uint32_t>(whose))) {
                visit(pid, read_shared(bucket.series[way]), at_ns);
            }
        }
    }
}

// By series.
std::map<uint32_t, UnderWay> ClientProbeImpl::under_way() const
{
    std::map<uint32_t, UnderWay> found;
    for_each_under_way([&found](pid_t, uint32_t series, uint64_t began_ns) {
        UnderWay& calls = found[series];
        ++calls.calls;
        calls.oldest_ns = std::min(calls.oldest_ns, began_ns);
    });
    return found;
}

// By series, of all processes.
std::vector<CallCounts> ClientProbeImpl::counts() const
{
    std::vector<CallCounts> all;
    for (const ClientSeries::Entry& entry : series_.entries()) {
        all.push_back(entry.ended_processes);
    }
    for (const auto& process : processes_) {
        for (const ClientProcess::Call& call : process->calls()) {
            all[call.series].add(rows_.rows()[call.row]);
        }
    }
    return all;
}

void ClientProbeImpl::add_gauges(const std::map<uint32_t, UnderWay>& calls, Snapshot& into) const
{
    const uint64_t now = attached_ ? monotonic_ns() : stopped_ns_;
    for (const auto& [index, under_way] : calls) {
        if (index >= series_.entries().size()) {
            continue;
        }
        const Labels& labels = series_.entries()[index].labels;
        const uint64_t age = now > under_way.oldest_ns ? now - under_way.oldest_ns : 0;
        into.gauges.push_back({kClientInFlight, labels, static_cast<double>(under_way.calls)});
        into.gauges.push_back({kClientLongest, labels, static_cast<double>(age) / 1e9});
    }
}

// What each call is one of, from the distributions that are there already.
void ClientProbeImpl::add_counters(Snapshot& into) const
{
    std::map<Labels, uint64_t> events;
    std::set<std::pair<std::string, std::string>>
        partial;  // client and event, of calls that were let go: a false count
    for (const ClientSeries::Entry& entry : series_.entries()) {
        if (entry.too_fast != 0) {
            partial.emplace(entry.labels.at("client"), entry.counts);
        }
    }
    for (const ClientSeries::Entry& entry : series_.entries()) {
        if (entry.counts.empty() || partial.contains({entry.labels.at("client"), entry.counts})) {
            continue;
        }
        const auto histogram = std::find_if(
            into.histograms.begin(), into.histograms.end(),
            [&entry](const HistogramSeries& h) { return h.name == kClientCalls && h.labels == entry.labels; });
        Labels labels = entry.labels;
        labels.erase("call");
        labels["event"] = entry.counts;
        events[labels] += histogram == into.histograms.end() ? 0 : histogram->histogram.count();
    }
    for (const auto& [labels, count] : events) {
        into.counters.push_back({kClientEvents, labels, count});
    }
}

void ClientProbeImpl::add_status(const std::vector<CallCounts>& counts, uint64_t calls_under_way, Snapshot& into)
{
    ProbeStatus status;
    status.measurement = kMeasurement;
    status.hook = kernel_.multi ? "uprobe_multi" : "uprobe";
    status.hook += " on first instructions and returns";
    status.state = ProbeState::kOk;
    uint64_t unfinished = 0;
    std::vector<std::string> silent, fast, dear;
    for (size_t i = 0; i < counts.size(); ++i) {
        const ClientSeries::Entry& entry = series_.entries()[i];
        const std::string& name = entry.labels.at("call");
        status.events += counts[i].begun;
        unfinished += counts[i].begun - std::min(counts[i].begun, counts[i].ended);
        for (size_t drop = 0; drop < SONDE_CLIENT_DROPS; ++drop) {
            if (counts[i].drops[drop] != 0) {
                status.discarded[kDropNames[drop]] += counts[i].drops[drop];
            }
        }
        const std::string rate = std::to_string(entry.too_fast) + " calls per second";
        if (entry.too_dear > 0) {
            dear.push_back(std::string(name).append(" (").append(rate).append(", ").append(percent(entry.too_dear)) +
                           ")");
        } else if (entry.too_fast != 0) {
            fast.push_back(std::string(name).append(" (").append(rate) + ")");
        } else if (entry.attached && counts[i].begun == 0 && entry.question.empty()) {
            // Somebody asked for just this function. Of the catalog's many go uncalled for a while.
            silent.push_back(name);
        }
    }
    left_ = std::max(left_, unfinished - std::min(unfinished, calls_under_way + cut_off_));
    if (cut_off_ != 0) {
        status.discarded["under way while others were let go"] = cut_off_;
    }
    if (left_ != 0) {
        status.discarded["not seen returning: left by a panic, a jump or an exit"] = left_;
    }
    if (const uint64_t full = read_shared(skel_->bss->counters.chunks_full); full != 0) {
        status.discarded["no room for their distribution"] = full;
    }
    const std::string over_budget =
        "let go, over the budget of " + percent(limits_.budget) + " of a CPU for each process: ";
    for (const auto& [what, names] :
         {std::pair{"let go, called too often: ", &fast}, std::pair{over_budget.c_str(), &dear},
          std::pair{"attached, but not called so far: ", &silent}, std::pair{"taken back: ", &lost_}}) {
        if (!names->empty()) {
            status.state = ProbeState::kDegraded;
            status.reason += (status.reason.empty() ? "" : "; ") + std::string(what) + some_of(*names);
        }
    }
    into.probes.push_back(std::move(status));
}

// One for each call of a client, whatever its processes are named.
void ClientProbeImpl::add_facts(const std::vector<CallCounts>& counts, Snapshot& into) const
{
    std::map<std::pair<std::string, std::string>, CallFacts> facts;
    for (size_t i = 0; i < counts.size(); ++i) {
        const ClientSeries::Entry& entry = series_.entries()[i];
        // Not those of texts: they are told apart at the same place, and counted there.
        if (entry.attached) {
            const std::string &client = entry.labels.at("client"), &call = entry.labels.at("call");
            CallFacts& known = facts[{client, call}];
            known = {client,
                     call,
                     entry.question,
                     entry.within,
                     known.begun + counts[i].begun,
                     known.let_go || entry.too_fast != 0};
        }
    }
    for (auto& [name, call] : facts) {
        into.calls.push_back(std::move(call));
    }
}

Status ClientProbeImpl::read(Snapshot& into)
{
    const Result<MapWindow> rows =
        MapWindow::open(bpf_map__fd(skel_->maps.series), sizeof(sonde_hist_row), 0, SONDE_CLIENT_SERIES + 1);
    if (!rows) {
        return rows.error().with("read rows of calls");
    }
    const std::vector<ClientSeries::Entry>& entries = series_.entries();
    std::vector<Histogram> histograms(entries.size());
    HistReader reader(bpf_map__fd(skel_->maps.hist_chunks));
    for (size_t i = 0; i < entries.size(); ++i) {
        reader.add(rows->at<sonde_hist_row>(i), histograms[i]);
    }
    if (Status fetched = reader.fetch(); !fetched) {
        return fetched;
    }
    for (size_t i = 0; i < entries.size(); ++i) {
        const ClientSeries::Entry& entry = entries[i];
        if (!histograms[i].empty()) {
            into.histograms.push_back({kClientCalls, entry.labels, std::move(histograms[i])});
        }
    }
    const std::map<uint32_t, UnderWay> calls = attached_ ? under_way() : last_under_way_;
    uint64_t all_under_way = 0;
    for (const auto& [index, each] : calls) {
        all_under_way += each.calls;
    }
    add_gauges(calls, into);
    add_counters(into);
    const std::vector<CallCounts> all = counts();
    add_facts(all, into);
    add_status(all, all_under_way, into);
    return ok();
}

}  // namespace

Result<std::unique_ptr<ClientProbe>> load_client_probe(std::vector<ClientTarget> targets,
                                                       const KernelFeatures& features, const CallLimits& limits)
{
    const bpf_object_open_opts open = open_options(features);
    SkelPtr<client_bpf> skel(client_bpf__open_opts(&open));
    if (!skel) {
        return Error::from_errno(errno, "open BPF object client");
    }
    const UprobeKernel kernel = UprobeKernel::of(features);
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
    const sonde_hist_row other = row_with_chunks(1);
    const uint32_t index = SONDE_CLIENT_SERIES;
    if (bpf_map_update_elem(bpf_map__fd(skel->maps.series), &index, &other, BPF_ANY) != 0) {
        return Error::from_errno(errno, "prepare the row for other calls");
    }
    Result<FunctionRows> rows = FunctionRows::open(bpf_map__fd(skel->maps.functions));
    if (!rows) {
        return rows.error();
    }
    return std::unique_ptr<ClientProbe>(
        std::make_unique<ClientProbeImpl>(std::move(skel), std::move(targets), kernel, limits, std::move(*rows)));
}

std::string why_not_timed(const ClientCall& call, bool seccomp, const KernelFeatures& features)
{
    return UprobeKernel::of(features).refusal(call, seccomp);
}

std::span<const char> client_object()
{
    return object_bytes(&client_bpf::elf_bytes);
}

}  // namespace sonde
