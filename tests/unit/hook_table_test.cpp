// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/hook_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "bpf/abi/block.h"
#include "bpf/abi/sched.h"
#include "bpf/abi/tcp.h"
#include "userspace/probes/libbpf_ptr.h"
#include "userspace/probes/skeleton_types.h"

#include "block.skel.h"  // after skeleton_types.h
#include "sched.skel.h"
#include "tcp.skel.h"

namespace sonde {
namespace {

using Names = std::set<std::string>;

const std::vector<std::string_view> kMeasurements{"run-queue latency",  "on-CPU time",         "off-CPU time",
                                                  "block I/O latency",  "TCP round-trip time", "TCP connect latency",
                                                  "TCP accept latency", "TCP counters"};

const Names kTracepoints{"sched_switch",      "sched_wakeup",         "sched_wakeup_new",   "task_rename",
                         "block_rq_issue",    "block_rq_complete",    "tcp_probe",          "inet_sock_set_state",
                         "tcp_send_reset",    "tcp_rcv_space_adjust", "tcp_retransmit_skb", "tcp_retransmit_synack",
                         "tcp_receive_reset", "sched_process_exec"};

KernelFeatures everything()
{
    KernelFeatures features;
    const Feature works{true, ""};
    features.btf = features.raw_tracepoints = features.typed_tracepoints = features.fentry = works;
    features.task_storage = features.socket_storage = features.probe_read_kernel = works;
    for (const std::string& name : kTracepoints) {
        features.tracepoints.emplace(name, 3);
    }
    features.function_args = {{"inet_csk_accept", 2}, {"schedule", 0}};
    return features;
}

KernelFeatures without_typed()
{
    KernelFeatures features = everything();
    features.typed_tracepoints = features.fentry = {false, "typed: refused"};
    return features;
}

Choice choice_for(std::string_view measurement, const KernelFeatures& features)
{
    for (Choice& choice : choose_hooks(features)) {
        if (choice.measurement == measurement) {
            return choice;
        }
    }
    ADD_FAILURE() << "no choice for " << measurement;
    return {};
}

Names measurements_off(const KernelFeatures& features)
{
    Names off;
    for (const Choice& choice : choose_hooks(features)) {
        if (choice.row == nullptr) {
            off.emplace(choice.measurement);
        }
    }
    return off;
}

bool typed(const HookRow& row)
{
    return row.hook.starts_with("tp_btf/") || row.hook.starts_with("fexit/");
}

TEST(ChooseHooks, WithEverythingTakesTheBestRowOfEachMeasurement)
{
    std::vector<std::string_view> measurements;
    for (const Choice& choice : choose_hooks(everything())) {
        measurements.push_back(choice.measurement);
        ASSERT_NE(choice.row, nullptr) << choice.measurement;
        EXPECT_TRUE(typed(*choice.row)) << choice.row->hook;
        EXPECT_EQ(choice.row->lost, "");
        EXPECT_EQ(choice.row->cost, CostClass::kLow);
        EXPECT_TRUE(choice.rejected.empty()) << choice.rejected.front();
    }
    EXPECT_EQ(measurements, kMeasurements);
}

TEST(ChooseHooks, WithoutTypedTracepointsTakesRawOnesAndSaysWhatIsLost)
{
    const std::vector<Choice> choices = choose_hooks(without_typed());
    ASSERT_EQ(choices.size(), kMeasurements.size());
    for (const Choice& choice : choices) {
        ASSERT_NE(choice.row, nullptr) << choice.measurement;
        EXPECT_TRUE(choice.row->hook.starts_with("raw_tp/")) << choice.row->hook;
        EXPECT_NE(choice.row->lost, "") << choice.measurement;
        EXPECT_EQ(choice.row->cost, CostClass::kMedium);
        ASSERT_FALSE(choice.rejected.empty()) << choice.measurement;
        EXPECT_TRUE(choice.rejected.front().ends_with(": typed: refused")) << choice.rejected.front();
    }
}

TEST(ChooseHooks, TheArgumentsOfAcceptDecideOnTheProgram)
{
    for (const auto& [arguments, program] : {std::pair(2, "sonde_tcp_accept2"), std::pair(4, "sonde_tcp_accept4")}) {
        KernelFeatures features = everything();
        features.function_args["inet_csk_accept"] = arguments;
        const Choice accept = choice_for("TCP accept latency", features);
        ASSERT_NE(accept.row, nullptr);
        EXPECT_EQ(accept.row->hook, "fexit/inet_csk_accept");
        EXPECT_EQ(accept.row->programs.front(), program);
        EXPECT_EQ(accept.row->lost, "");
        EXPECT_TRUE(accept.rejected.empty()) << "the other form is no better hook: " << accept.rejected.front();
    }
}

TEST(ChooseHooks, WithoutAFitAcceptFunctionTheFirstReadCounts)
{
    KernelFeatures no_fentry = everything();
    no_fentry.fentry = {false, "fentry: refused"};
    KernelFeatures no_function = everything();
    no_function.function_args.clear();
    KernelFeatures three_arguments = everything();
    three_arguments.function_args["inet_csk_accept"] = 3;
    const std::pair<KernelFeatures, std::string> cases[] = {
        {no_fentry, "fexit/inet_csk_accept: fentry: refused"},
        {no_function, "fexit/inet_csk_accept: this kernel has no function inet_csk_accept"},
        {three_arguments, "fexit/inet_csk_accept: inet_csk_accept has 3 arguments here"}};
    for (const auto& [features, reason] : cases) {
        const Choice accept = choice_for("TCP accept latency", features);
        ASSERT_NE(accept.row, nullptr) << reason;
        EXPECT_EQ(accept.row->hook, "tp_btf/tcp_rcv_space_adjust");
        EXPECT_NE(accept.row->lost, "");
        EXPECT_EQ(accept.rejected, std::vector<std::string>{reason});  // once, though there are two forms
        EXPECT_TRUE(measurements_off(features).empty());
    }
}

TEST(ChooseHooks, WithoutBtfNothingWorksAndTheReasonNamesTheOption)
{
    KernelFeatures features = everything();
    features.btf = {false, "the kernel shows no BTF"};
    features.tracepoints.clear();
    features.function_args.clear();
    for (const Choice& choice : choose_hooks(features)) {
        EXPECT_EQ(choice.row, nullptr) << choice.measurement;
        ASSERT_FALSE(choice.rejected.empty());
        EXPECT_NE(choice.rejected.back().find("the kernel shows no BTF"), std::string::npos);
        EXPECT_NE(choice.rejected.back().find("--btf"), std::string::npos);
    }
}

TEST(ChooseHooks, WithoutProbeReadTypedRowsWorkAndRawOnesDoNot)
{
    KernelFeatures confidential = everything();
    confidential.probe_read_kernel = {false, "lockdown"};
    for (const Choice& choice : choose_hooks(confidential)) {
        ASSERT_NE(choice.row, nullptr) << choice.measurement;
        EXPECT_TRUE(typed(*choice.row)) << choice.row->hook;
        // Only what a descriptor is cannot be read by types; that is said, with the reason.
        const bool loses = choice.measurement == "off-CPU time";
        EXPECT_EQ(!choice.row->lost.empty(), loses) << choice.measurement;
        EXPECT_EQ(!choice.rejected.empty(), loses) << choice.measurement;
    }
    confidential.typed_tracepoints = confidential.fentry = {false, "refused"};
    for (const Choice& choice : choose_hooks(confidential)) {
        EXPECT_EQ(choice.row, nullptr) << choice.measurement;
        EXPECT_TRUE(choice.rejected.back().ends_with(": lockdown")) << choice.rejected.back();
    }
}

TEST(ChooseHooks, WithoutSocketStorageOnlyTcpIsWorse)
{
    KernelFeatures features = everything();
    features.socket_storage = {false, "not supported"};
    for (const Choice& choice : choose_hooks(features)) {
        ASSERT_NE(choice.row, nullptr) << choice.measurement;
        EXPECT_EQ(typed(*choice.row), choice.probe != ProbeKind::kTcp) << choice.measurement;
    }
}

TEST(ChooseHooks, AMissingTracepointTurnsOffOnlyWhatNeedsIt)
{
    const Names sched{"run-queue latency", "on-CPU time", "off-CPU time"};
    const std::pair<const char*, Names> cases[] = {
        {"sched_switch", sched},
        {"sched_wakeup", sched},
        {"sched_wakeup_new", sched},
        {"block_rq_issue", {"block I/O latency"}},
        {"block_rq_complete", {"block I/O latency"}},
        {"tcp_probe", {"TCP round-trip time"}},
        // Its program also marks the beginning of an accept.
        {"inet_sock_set_state", {"TCP round-trip time", "TCP connect latency", "TCP accept latency"}},
        {"tcp_rcv_space_adjust", {}},  // accept has a better hook here
        {"tcp_retransmit_skb", {"TCP counters"}},
        {"tcp_retransmit_synack", {"TCP counters"}},
        {"tcp_send_reset", {"TCP counters"}},
        {"tcp_receive_reset", {"TCP counters"}}};
    for (const auto& [tracepoint, off] : cases) {
        for (KernelFeatures features : {everything(), without_typed()}) {
            features.tracepoints.erase(tracepoint);
            const bool read_needed = !features.fentry.works && std::string_view(tracepoint) == "tcp_rcv_space_adjust";
            EXPECT_EQ(measurements_off(features), read_needed ? Names{"TCP accept latency"} : off) << tracepoint;
            for (const std::string& name : off) {
                const std::vector<std::string> why = choice_for(name, features).rejected;
                EXPECT_TRUE(!why.empty() && why.back().ends_with(std::string("no tracepoint ") + tracepoint)) << name;
            }
        }
    }
}

TEST(HookTable, RowsOfAMeasurementStandTogetherBestFirst)
{
    std::vector<std::string_view> order;
    std::string_view best_hook;
    size_t best_needs = 0;
    for (const HookRow& row : hook_table()) {
        if (order.empty() || order.back() != row.measurement) {
            order.push_back(row.measurement);
            best_hook = row.hook;
            best_needs = row.needs.size();
        }
        // Only another form of the best hook is as good, unless it makes do with less.
        const bool as_good = row.hook == best_hook && row.needs.size() >= best_needs;
        EXPECT_EQ(row.lost.empty(), as_good) << row.measurement << ", " << row.hook;
    }
    EXPECT_EQ(order, kMeasurements);
}

// Each program is in the probe's BPF object, and its row asks for what it is attached to.
TEST(HookTable, AsksForWhatItsProgramsAttachTo)
{
    const SkelPtr<sched_bpf> sched(sched_bpf::open());
    const SkelPtr<block_bpf> block(block_bpf::open());
    const SkelPtr<tcp_bpf> tcp(tcp_bpf::open());
    ASSERT_TRUE(sched && block && tcp);
    const std::map<ProbeKind, bpf_object*> objects{
        {ProbeKind::kSched, sched->obj}, {ProbeKind::kBlock, block->obj}, {ProbeKind::kTcp, tcp->obj}};
    const auto has = [](const auto& list, const auto& item) {
        return std::find(list.begin(), list.end(), item) != list.end();
    };
    for (const HookRow& row : hook_table()) {
        EXPECT_FALSE(row.programs.empty()) << row.hook;
        for (const std::string_view name : row.programs) {
            const bpf_program* program =
                bpf_object__find_program_by_name(objects.at(row.probe), std::string(name).c_str());
            ASSERT_NE(program, nullptr) << name;
            const std::string section = bpf_program__section_name(program);
            const std::string type = section.substr(0, section.find('/'));
            const std::string target = section.substr(section.find('/') + 1);
            const Need need = type == "tp_btf"  ? Need::kTypedTracepoint
                              : type == "fexit" ? Need::kFentry
                                                : Need::kRawTracepoint;
            EXPECT_TRUE(has(row.needs, need)) << row.measurement << ", " << name << ": " << section;
            EXPECT_TRUE(type == "fexit" ? row.function == target : has(row.tracepoints, target))
                << row.measurement << ", " << name << ": " << section;
        }
    }
}

}  // namespace
}  // namespace sonde
