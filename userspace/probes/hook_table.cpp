// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/hook_table.h"

namespace sonde {
namespace {

using Names = std::vector<std::string_view>;

const Names kSchedTracepoints{"sched_switch", "sched_wakeup", "sched_wakeup_new", "task_rename", "sched_process_exec"};
const Names kSchedTyped{"sonde_switch", "sonde_wakeup", "sonde_wakeup_new", "sonde_rename", "sonde_exec"};
const Names kSchedRaw{"sonde_switch_raw", "sonde_wakeup_raw", "sonde_wakeup_new_raw", "sonde_rename_raw",
                      "sonde_exec_raw"};
constexpr std::string_view kSchedTypedHook = "tp_btf/sched_switch, sched_wakeup, sched_wakeup_new";
constexpr std::string_view kSchedRawHook = "raw_tp/sched_switch, sched_wakeup, sched_wakeup_new";

HookRow typed(std::string_view measurement, ProbeKind probe, std::string_view hook, Names programs, Names tracepoints)
{
    HookRow row{
        measurement, probe,           hook, std::move(programs), {Need::kTypedTracepoint}, std::move(tracepoints), "",
        0,           CostClass::kLow, ""};
    if (probe == ProbeKind::kTcp) {
        row.needs.push_back(Need::kSocketStorage);
    }
    return row;
}

HookRow raw(std::string_view measurement, ProbeKind probe, std::string_view hook, Names programs, Names tracepoints,
            std::string_view lost = "a higher cost per event: each field is read by a helper call")
{
    return {measurement,
            probe,
            hook,
            std::move(programs),
            {Need::kRawTracepoint, Need::kProbeRead},
            std::move(tracepoints),
            "",
            0,
            CostClass::kMedium,
            lost};
}

HookRow fexit_accept(std::string_view program, int arguments)
{
    return {"TCP accept latency",
            ProbeKind::kTcp,
            "fexit/inet_csk_accept",
            {program, "sonde_tcp_state"},  // the latter marks the beginning
            {Need::kFentry, Need::kTypedTracepoint, Need::kSocketStorage},
            {"inet_sock_set_state"},
            "inet_csk_accept",
            arguments,
            CostClass::kLow,
            ""};
}

std::vector<HookRow> make_table()
{
    const auto sched = ProbeKind::kSched;
    const auto tcp = ProbeKind::kTcp;
    std::vector<HookRow> table;
    for (const std::string_view measurement : {"run-queue latency", "on-CPU time"}) {
        table.push_back(typed(measurement, sched, kSchedTypedHook, kSchedTyped, kSchedTracepoints));
        table.push_back(raw(measurement, sched, kSchedRawHook, kSchedRaw, kSchedTracepoints));
    }
    table.push_back(typed("off-CPU time", sched, kSchedTypedHook, kSchedTyped, kSchedTracepoints));
    table.back().needs.push_back(Need::kProbeRead);  // what a descriptor is takes reading an array by pointer
    table.push_back(typed("off-CPU time", sched, kSchedTypedHook, kSchedTyped, kSchedTracepoints));
    table.back().lost = "reasons: read and write of a socket count as 'other', not as network";
    table.push_back(raw("off-CPU time", sched, kSchedRawHook, kSchedRaw, kSchedTracepoints,
                        "reasons: only disk is told apart, the rest is 'other'"));

    const Names block_tracepoints{"block_rq_issue", "block_rq_complete"};
    table.push_back(typed("block I/O latency", ProbeKind::kBlock, "tp_btf/block_rq_issue, block_rq_complete",
                          {"sonde_issue", "sonde_complete"}, block_tracepoints));
    table.push_back(raw("block I/O latency", ProbeKind::kBlock, "raw_tp/block_rq_issue, block_rq_complete",
                        {"sonde_issue_raw", "sonde_complete_raw"}, block_tracepoints));

    table.push_back(typed("TCP round-trip time", tcp, "tp_btf/tcp_probe, inet_sock_set_state",
                          {"sonde_tcp_probe", "sonde_tcp_state"}, {"tcp_probe", "inet_sock_set_state"}));
    table.push_back(raw("TCP round-trip time", tcp, "raw_tp/tcp_probe, inet_sock_set_state",
                        {"sonde_tcp_probe_raw", "sonde_tcp_state_raw"}, {"tcp_probe", "inet_sock_set_state"}));
    table.push_back(
        typed("TCP connect latency", tcp, "tp_btf/inet_sock_set_state", {"sonde_tcp_state"}, {"inet_sock_set_state"}));
    table.push_back(raw("TCP connect latency", tcp, "raw_tp/inet_sock_set_state", {"sonde_tcp_state_raw"},
                        {"inet_sock_set_state"}));
    table.push_back(fexit_accept("sonde_tcp_accept2", 2));
    table.push_back(fexit_accept("sonde_tcp_accept4", 4));
    table.push_back(typed("TCP accept latency", tcp, "tp_btf/tcp_rcv_space_adjust",
                          {"sonde_tcp_read", "sonde_tcp_state"}, {"tcp_rcv_space_adjust", "inet_sock_set_state"}));
    table.back().lost = "ends when the process first reads from the connection, not when accept returns";
    table.push_back(raw("TCP accept latency", tcp, "raw_tp/tcp_rcv_space_adjust",
                        {"sonde_tcp_read_raw", "sonde_tcp_state_raw"}, {"tcp_rcv_space_adjust", "inet_sock_set_state"},
                        "ends when the process first reads from the connection, not when accept returns"));
    const Names counter_tracepoints{"tcp_retransmit_skb", "tcp_retransmit_synack", "tcp_send_reset",
                                    "tcp_receive_reset"};
    table.push_back(
        typed("TCP counters", tcp,
              "tp_btf/tcp_retransmit_skb, tcp_retransmit_synack, raw_tp/tcp_send_reset, tcp_receive_reset, "
              "/proc/net/netstat",
              {"sonde_tcp_retransmit", "sonde_tcp_synack", "sonde_tcp_reset_sent", "sonde_tcp_reset_received"},
              counter_tracepoints));
    table.back().needs.push_back(Need::kRawTracepoint);  // resets have one form of program
    table.push_back(
        raw("TCP counters", tcp,
            "raw_tp/tcp_retransmit_skb, tcp_retransmit_synack, tcp_send_reset, tcp_receive_reset, /proc/net/netstat",
            {"sonde_tcp_retransmit_raw", "sonde_tcp_synack_raw", "sonde_tcp_reset_sent", "sonde_tcp_reset_received"},
            counter_tracepoints));
    return table;
}

const Feature& feature_of(Need need, const KernelFeatures& features)
{
    switch (need) {
        case Need::kRawTracepoint:
            return features.raw_tracepoints;
        case Need::kTypedTracepoint:
            return features.typed_tracepoints;
        case Need::kFentry:
            return features.fentry;
        case Need::kSocketStorage:
            return features.socket_storage;
        case Need::kProbeRead:
            return features.probe_read_kernel;
    }
    return features.raw_tracepoints;
}

// Empty when the row can be used.
std::string why_not(const HookRow& row, const KernelFeatures& features)
{
    if (!features.btf.works) {
        return features.btf.why_not + "; give a BTF file of this kernel with --btf FILE";
    }
    for (const Need need : row.needs) {
        const Feature& feature = feature_of(need, features);
        if (!feature.works) {
            return feature.why_not;
        }
    }
    for (const std::string_view tracepoint : row.tracepoints) {
        if (!features.tracepoints.contains(std::string(tracepoint))) {
            return "this kernel has no tracepoint " + std::string(tracepoint);
        }
    }
    if (!row.function.empty()) {
        const auto found = features.function_args.find(std::string(row.function));
        if (found == features.function_args.end()) {
            return "this kernel has no function " + std::string(row.function);
        }
        if (found->second != row.function_args) {
            return std::string(row.function) + " has " + std::to_string(found->second) + " arguments here";
        }
    }
    return "";
}

}  // namespace

std::string_view probe_name(ProbeKind kind)
{
    switch (kind) {
        case ProbeKind::kSched:
            return "sched";
        case ProbeKind::kBlock:
            return "block";
        case ProbeKind::kTcp:
            return "tcp";
    }
    return "";
}

std::string_view cost_name(CostClass cost)
{
    return cost == CostClass::kLow ? "low" : "medium";
}

const std::vector<HookRow>& hook_table()
{
    static const std::vector<HookRow> table = make_table();
    return table;
}

std::string reason_in(const std::string& rejected)
{
    const size_t colon = rejected.find(": ");
    return colon == std::string::npos ? rejected : rejected.substr(colon + 2);
}

std::vector<Choice> choose_hooks(const KernelFeatures& features)
{
    std::vector<Choice> choices;
    for (const HookRow& row : hook_table()) {
        if (choices.empty() || choices.back().measurement != row.measurement) {
            choices.push_back({row.measurement, row.probe, nullptr, {}});
        }
        Choice& choice = choices.back();
        if (choice.row != nullptr) {
            continue;
        }
        const std::string reason = why_not(row, features);
        const std::string rejected = std::string(row.hook) + ": " + reason;
        if (reason.empty()) {
            choice.row = &row;
            // Another form of the same hook, with nothing lost, is no better hook that was missed.
            if (row.lost.empty()) {
                std::erase_if(choice.rejected, [&](const std::string& r) { return r.starts_with(row.hook); });
            }
        } else if (choice.rejected.empty() || choice.rejected.back() != rejected) {
            choice.rejected.push_back(rejected);
        }
    }
    return choices;
}

}  // namespace sonde
