// SPDX-License-Identifier: Apache-2.0
#pragma once

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
        return sites.return_probe && (!filters_see_returns || (sites.ends.empty() && !seccomp));
    }
    // Why a call of a process, with or without a filter for its system calls, is let alone; empty if it is not.
    [[nodiscard]] std::string refusal(const ClientCall& call, bool seccomp) const;
};

// Which of the rows for functions are taken. A row that is given out again gets another generation.
class FunctionRows {
  public:
    explicit FunctionRows(int map_fd);

    // A row for a function, zeroed but for what is given; an error if all are taken.
    Result<uint32_t> take(const sonde_client_function& row);
    void give_back(uint32_t row);
    // From here on what is under way in this row is not found by its end.
    void renew(uint32_t row) { ++generations_[row]; }
    [[nodiscard]] uint32_t cookie(uint32_t row) const { return SONDE_CLIENT_COOKIE(row, generations_[row]); }
    // Whether a cookie was made for the row as it is.
    [[nodiscard]] bool is_current(uint32_t cookie_seen) const
    {
        return cookie(SONDE_CLIENT_FUNCTION_OF(cookie_seen)) == cookie_seen;
    }

  private:
    int map_fd_;
    std::vector<uint16_t> generations_;
    std::vector<uint32_t> free_;
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
    [[nodiscard]] bool has_ended() const;
    // False after exec, or an upgrade in place and a start of that: the offsets mean nothing in it.
    [[nodiscard]] bool is_same_program() const;
    // Looks at how often its calls came in the past seconds, and chooses those to be let go: that were called too
    // often, or cost too much. False if there are none.
    bool choose_to_let_go(const sonde_client_function* rows, double past_s, const CallLimits& limits,
                          const UprobeCost& cost);
    // Lets them go: takes all probes back, beginnings first, and then puts those in place that may stay. For a moment
    // no call is seen, and those that are under way between the two are not measured.
    void take_back() { links_.close(); }
    Status put_back();
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
    std::vector<Call> calls_;
    UprobeLinks links_;
};

}  // namespace sonde
