// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/client_process.h"

#include <bpf/bpf.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "userspace/probes/skeleton_types.h"

#include "client.skel.h"  // after skeleton_types.h

namespace sonde {

UprobeKernel UprobeKernel::of(const KernelFeatures& features)
{
    return {try_uprobe_multi().works, features.function_args.contains("arch_uprobe_optimize"),
            features.probe_read_kernel.works,
            features.function_args.contains("__x64_sys_uretprobe") && filters_see_return_probes()};
}

std::string UprobeKernel::refusal(const ClientCall& call, bool seccomp) const
{
    const auto any = [&call](auto is) { return std::any_of(call.copies.begin(), call.copies.end(), is); };
    if (optimises_nop5 && any([](const CallSites& copy) { return copy.begin_is_nop5; })) {
        return "it begins with a five-byte nop, which this kernel would replace by a call that writes below the stack "
               "pointer, where functions may keep data";
    }
    if (any([this, seccomp](const CallSites& copy) {
            return copy.return_probe && copy.ends.empty() && !probes_return(copy, seccomp);
        })) {
        return "it needs a return probe, for which this kernel has the process make a system call that its seccomp "
               "filter may kill it for";
    }
    if (!reads_stacks && any([](const CallSites& copy) { return copy.go; })) {
        return "where the kernel refuses bpf_probe_read_kernel (lockdown=confidentiality), libbpf loads no program that "
               "reads a goroutine's stack";
    }
    return "";
}

Result<FunctionRows> FunctionRows::open(int map_fd)
{
    void* rows = ::mmap(nullptr, sizeof(sonde_client_function) * SONDE_CLIENT_FUNCTIONS, PROT_READ | PROT_WRITE,
                        MAP_SHARED, map_fd, 0);
    if (rows == MAP_FAILED) {
        return Error::from_errno(errno, "map the rows of functions");
    }
    return FunctionRows(static_cast<sonde_client_function*>(rows));
}

FunctionRows::FunctionRows(sonde_client_function* rows) : rows_(rows)
{
    for (uint32_t row = 0; row < SONDE_CLIENT_FUNCTIONS; ++row) {
        free_.push_back(row);
    }
}

FunctionRows::FunctionRows(FunctionRows&& other) noexcept
    : rows_(std::exchange(other.rows_, nullptr)), free_(std::move(other.free_))
{}

FunctionRows::~FunctionRows()
{
    if (rows_ != nullptr) {
        ::munmap(rows_, sizeof(sonde_client_function) * SONDE_CLIENT_FUNCTIONS);
    }
}

void FunctionRows::renew(uint32_t row)
{
    volatile auto& generation = rows_[row].generation;
    generation = static_cast<uint16_t>(generation + 1);
}

Result<uint32_t> FunctionRows::take(const sonde_client_function& row)
{
    if (free_.empty()) {
        return Error{E2BIG, "more than " + std::to_string(SONDE_CLIENT_FUNCTIONS) + " functions of processes"};
    }
    const uint32_t index = free_.front();
    free_.pop_front();
    const uint16_t generation = rows_[index].generation;
    rows_[index] = row;  // nothing counts in it
    rows_[index].generation = generation;
    renew(index);
    return index;
}

void FunctionRows::give_back(uint32_t row)
{
    renew(row);
    rows_[row].tgid = 0;
    free_.push_back(row);
}

ClientProcess::ClientProcess(ClientTarget target, client_bpf& skel, const UprobeKernel& kernel, FunctionRows& rows,
                             ClientSeries& series)
    : target_(std::move(target)),
      skel_(&skel),
      kernel_(kernel),
      rows_(&rows),
      series_(&series),
      pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, target_.pid, 0)))
{
    pidfd_error_ = pidfd_ ? Error() : Error::from_errno(errno, "pidfd_open");
}

ClientProcess::~ClientProcess()
{
    links_ = {};
    for (const Call& call : calls_) {
        rows_->give_back(call.row);
    }
}

std::string ClientProcess::name() const
{
    return "process " + std::to_string(target_.pid);
}

Status ClientProcess::take_rows(std::vector<std::string>& refusals)
{
    for (const ClientCall& call : target_.calls) {
        if (const std::string why_not = kernel_.refusal(call, target_.seccomp); !why_not.empty()) {
            refusals.push_back(Error{0, why_not}.with(name()).with(call.name).what);
            continue;
        }
        const Result<uint32_t> series = series_->index_of(target_, call);
        if (!series) {
            return series.error().with(name());
        }
        sonde_client_function row{};
        row.tgid = static_cast<uint32_t>(target_.pid);
        row.series = *series;
        row.argument = static_cast<uint16_t>(call.texts.argument);
        row.text_at = static_cast<uint16_t>(call.texts.text_at);
        const bool by_thread =
            std::any_of(call.copies.begin(), call.copies.end(), [](const CallSites& copy) { return copy.by_thread; });
        row.flags = by_thread ? SONDE_CLIENT_BY_THREAD : 0;
        const Result<uint32_t> index = rows_->take(row);
        if (!index) {
            return index.error().with(name());
        }
        calls_.push_back({&call, *index, *series, 0, 0, 0, false});
    }
    if (calls_.empty()) {
        return Error{ENOTSUP, refusals.empty() ? name() + ": there is no function to attach to" : refusals.back()};
    }
    return ok();
}

// Ends before beginnings: a call that begins meanwhile is seen ending.
std::vector<UprobePlace> ClientProcess::places() const
{
    const auto& programs = skel_->progs;
    std::vector<UprobePlace> all;
    std::vector<UprobePlace> begins;
    for (const Call& call : calls_) {
        if (call.let_go) {
            continue;
        }
        const uint64_t cookie = rows_->cookie(call.row);
        for (const CallSites& copy : call.call->copies) {
            begins.push_back({copy.go ? programs.sonde_go_begin : programs.sonde_call_begin, copy.begin, cookie, false,
                              copy.begin_semaphore});
            if (kernel_.probes_return(copy, target_.seccomp)) {
                // Where the beginning is seen, the return address is on top of the stack: one probe for both.
                all.push_back({programs.sonde_call_returned, copy.begin, cookie, true, 0});
                continue;
            }
            for (size_t i = 0; i < copy.ends.size(); ++i) {
                const uint64_t semaphore = copy.end_semaphores.empty() ? 0 : copy.end_semaphores[i];
                all.push_back({copy.go ? programs.sonde_go_end : programs.sonde_call_end, copy.ends[i], cookie, false,
                               semaphore});
            }
        }
    }
    all.insert(all.end(), begins.begin(), begins.end());
    return all;
}

bool ClientProcess::has_ended() const
{
    pollfd wait{pidfd_.get(), POLLIN, 0};
    return !pidfd_ || ::poll(&wait, 1, 0) != 0 || !TargetFile::identity_of(target_.path);
}

bool ClientProcess::is_same_program() const
{
    const Result<FileIdentity> now = TargetFile::identity_of(target_.path);
    return now && *now == target_.file;
}

Status ClientProcess::put_in_place()
{
    const Error changed{ESTALE, name() + ": its program has changed, or it has ended"};
    if (!pidfd_) {
        return pidfd_error_.with(name());
    }
    if (has_ended() || !is_same_program()) {
        return changed;
    }
    const std::vector<UprobePlace> all = places();
    if (all.empty()) {
        return ok();
    }
    Result<UprobeLinks> links = UprobeLinks::attach(target_.pid, target_.path, all, kernel_.multi);
    if (!links) {
        return links.error().with(name());
    }
    if (has_ended() || !is_same_program()) {
        return changed;
    }
    links_ = std::move(*links);
    for (const Call& call : calls_) {
        series_->entries()[call.series].attached = true;
    }
    return ok();
}

Result<std::unique_ptr<ClientProcess>> ClientProcess::attach(ClientTarget target, client_bpf& skel,
                                                             const UprobeKernel& kernel, FunctionRows& rows,
                                                             ClientSeries& series, std::vector<std::string>& refusals)
{
    std::unique_ptr<ClientProcess> process(new ClientProcess(std::move(target), skel, kernel, rows, series));
    if (Status status = process->take_rows(refusals); !status) {
        return status.error();
    }
    if (Status status = process->put_in_place(); !status) {
        return status.error();
    }
    return process;
}

bool ClientProcess::choose_to_let_go(const CallLimits& limits, const UprobeCost& cost)
{
    const auto now = std::chrono::steady_clock::now();
    const double past_s = std::chrono::duration<double>(now - std::exchange(looked_at_, now)).count();
    constexpr double kNsPerSecond = 1e9;
    constexpr double kLatest = 0.5;    // weight of the latest window: blocks come in bursts
    constexpr double kHeadroom = 0.7;  // of the budget, so that this is not done again at once
    struct Load {
        Call* call;
        double per_s;
        double share;  // of a CPU
    };
    std::vector<Load> loads;
    double total = 0, of_late = 0;
    for (Call& call : calls_) {
        const sonde_client_function& row = rows_->rows()[call.row];
        const uint64_t begun = read_shared(row.begun), ended = read_shared(row.ended);
        const double begins = static_cast<double>(begun - std::exchange(call.seen_begun, begun)) / past_s;
        const double ends = static_cast<double>(ended - std::exchange(call.seen_ended, ended)) / past_s;
        const auto& copies = call.call->copies;
        const bool stepped = std::any_of(copies.begin(), copies.end(), [](const CallSites& c) { return c.stepped; });
        const bool returned = std::any_of(copies.begin(), copies.end(), [this](const CallSites& c) {
            return kernel_.probes_return(c, target_.seccomp);
        });
        const double ns = begins * (stepped ? cost.stepped_ns : cost.emulated_ns) +
                          ends * (returned ? cost.emulated_ns : cost.stepped_ns);
        call.cost = kLatest * ns / kNsPerSecond + (1 - kLatest) * call.cost;
        if (!call.let_go) {
            of_late += call.cost;
            loads.push_back({&call, std::max(begins, ends), std::max(ns / kNsPerSecond, call.cost)});
            total += loads.back().share;
        }
    }
    std::sort(loads.begin(), loads.end(), [](const Load& a, const Load& b) { return a.share > b.share; });
    const bool over_budget = limits.budget > 0 && of_late > limits.budget;
    bool any = false;
    for (const Load& load : loads) {
        const bool too_fast = load.per_s > static_cast<double>(limits.calls_per_second);
        const bool too_dear = over_budget && total > kHeadroom * limits.budget;
        if (too_fast || too_dear) {
            load.call->let_go = any = true;
            ClientSeries::Entry& entry = series_->entries()[load.call->series];
            entry.too_fast = std::max<uint64_t>(1, static_cast<uint64_t>(load.per_s));
            entry.too_dear = too_fast ? 0 : load.share;
            total -= load.share;
        }
    }
    return any && !links_.empty();
}

UprobeLinks ClientProcess::let_go()
{
    for (const Call& call : calls_) {
        rows_->renew(call.row);
    }
    return std::exchange(links_, {});
}

}  // namespace sonde
