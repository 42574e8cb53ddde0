// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bpf/abi/client.h"
#include "userspace/base/unique_fd.h"
#include "userspace/probes/client_probe.h"
#include "userspace/probes/client_series.h"
#include "userspace/probes/uprobe_cost.h"
#include "userspace/probes/uprobe_links.h"

struct client_bpf;

namespace sonde {

// What a kernel does with uprobes.
struct UprobeKernel {
    bool multi = false;                // one link for many places
    bool optimises_nop5 = false;       // at the cost of the red zone
    bool reads_stacks = false;         // of goroutines
    bool filters_see_returns = false;  // a return probe is a system call of which seccomp filters are asked

    [[nodiscard]] static UprobeKernel of(const KernelFeatures& features);
    // Whether a return probe is put there rather than probes on the returns. Where filters see it, only for want of
    // anything else: the process may set up its filter later.
    [[nodiscard]] bool probes_return(const CallSites& sites, bool seccomp) const
    {
        return sites.return_probe && (sites.ends.empty() ? !filters_see_returns || !seccomp
                                                         : sites.prefers_return_probe && !filters_see_returns);
    }
    // Why a call of a process, with or without a filter for its system calls, is let alone; empty if it is not.
    [[nodiscard]] std::string refusal(const ClientCall& call, bool seccomp) const;
};

// Which of the rows for functions are taken. A row that is given out again gets another generation.
class FunctionRows {
  public:
    // Maps the rows, to be read and written.
    static Result<FunctionRows> open(int map_fd);
    FunctionRows(FunctionRows&& other) noexcept;
    FunctionRows& operator=(FunctionRows&&) = delete;
    ~FunctionRows();

    // A row for a function, zeroed but for what is given; an error if all are taken.
    Result<uint32_t> take(const sonde_client_function& row);
    void give_back(uint32_t row);
    // From here on the probes of its cookie so far count nothing, and what is under way is not found by its end.
    void renew(uint32_t row);
    [[nodiscard]] uint32_t cookie(uint32_t row) const { return SONDE_CLIENT_COOKIE(row, rows_[row].generation); }
    // Whether a call under way is of the row as it is.
    [[nodiscard]] bool is_current(pid_t pid, uint32_t cookie_seen) const
    {
        const uint32_t row = SONDE_CLIENT_FUNCTION_OF(cookie_seen);
        return row < SONDE_CLIENT_FUNCTIONS && cookie(row) == cookie_seen &&
               rows_[row].tgid == static_cast<uint32_t>(pid);
    }
    [[nodiscard]] const sonde_client_function* rows() const { return rows_; }

  private:
    explicit FunctionRows(sonde_client_function* rows);

    sonde_client_function* rows_;
    std::deque<uint32_t> free_;  // the one that was given back first is taken first: its generation comes again last
};

// A process whose functions are timed. Its probes and rows are given back when this is no more.
class ClientProcess {
  public:
    struct Call {
        const ClientCall* call = nullptr;
        uint32_t row = 0;
        uint32_t series = 0;
        uint64_t seen_begun = 0;  // when looked at last
        uint64_t seen_ended = 0;
        double cost = 0;  // the share of a CPU that its probes took of late
        bool let_go = false;
    };

    // Puts the probes in place. What cannot be is said in `refusals`, a line each; an error if that is everything.
    static Result<std::unique_ptr<ClientProcess>> attach(ClientTarget target, client_bpf& skel,
                                                         const UprobeKernel& kernel, FunctionRows& rows,
                                                         ClientSeries& series, std::vector<std::string>& refusals);
    ~ClientProcess();
    ClientProcess(const ClientProcess&) = delete;
    ClientProcess& operator=(const ClientProcess&) = delete;

    [[nodiscard]] const ClientTarget& target() const { return target_; }
    [[nodiscard]] const std::vector<Call>& calls() const { return calls_; }
    // Also when it is about to: what it ran is no longer there.
    [[nodiscard]] bool has_ended() const;
    // False after exec, or an upgrade in place and a start of that: the offsets mean nothing in it.
    [[nodiscard]] bool is_same_program() const;
    // Looks at how often its calls came since the last time, and chooses those to be let go: that were called too
    // often, or cost too much. False if there are none.
    bool choose_to_let_go(const CallLimits& limits, const UprobeCost& cost);
    // Lets them go: from here on none of its calls is counted, and those under way are not measured; until its probes
    // are taken back, and those that may stay are put in place again.
    [[nodiscard]] UprobeLinks let_go();
    Status put_back() { return put_in_place(); }
    // Its probes, for UprobeLinks::close_together. It has none any more.
    [[nodiscard]] UprobeLinks release() { return std::exchange(links_, {}); }

  private:
    ClientProcess(ClientTarget target, client_bpf& skel, const UprobeKernel& kernel, FunctionRows& rows,
                  ClientSeries& series);
    Status take_rows(std::vector<std::string>& refusals);
    [[nodiscard]] std::vector<UprobePlace> places() const;
    Status put_in_place();
    [[nodiscard]] std::string name() const;

    ClientTarget target_;
    client_bpf* skel_;
    UprobeKernel kernel_;
    FunctionRows* rows_;
    ClientSeries* series_;
    UniqueFd pidfd_;
    Error pidfd_error_;
    std::vector<Call> calls_;
    std::chrono::steady_clock::time_point looked_at_ = std::chrono::steady_clock::now();
    UprobeLinks links_;
};

}  // namespace sonde
