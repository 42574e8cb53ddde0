// SPDX-License-Identifier: Apache-2.0
//
// How many instructions the kernel's verifier walks through for each BPF program. This is most of what a start costs,
// and the verifier gives up at a million; a harmless-looking branch or loop can double it, on one kernel and not on
// the next. So the numbers are on record, per kernel series, in verifier_cost.json beside this file: a program that
// takes over 10% more fails. The numbers depend on the program, the compiler and the kernel, not on the machine.
//
// The verifier leaves out what the constants of a session switch off: each filter makes another program.
//
// Recorded anew, for all series or some:  tests/kernel/record_verifier_cost.py BUILD_DIR [6.1|6.12|live...]
#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "tests/kernel/tracer.h"
#include "userspace/host/kernel_settings.h"
#include "userspace/probes/libbpf_ptr.h"
#include "userspace/probes/object.h"

namespace sonde::test {
namespace {

using nlohmann::json;

constexpr double kMayGrow = 1.10;
const std::string kRecordAnew = "tests/kernel/record_verifier_cost.py BUILD_DIR";

// A path of its own for each machine that runs the tests: a guest has the file where the host has it.
json recorded()
{
    std::ifstream file(SONDE_VERIFIER_COST);
    return json::parse(file);
}

// "6.12.115+deb12-cloud-amd64" -> "6.12"
std::string kernel_series()
{
    const std::string release = read_kernel_settings(RootedFs()).release;
    const size_t second_dot = release.find('.', release.find('.') + 1);
    return release.substr(0, second_dot);
}

// The kernel keeps 15 bytes of a program's name, but all of the function's.
std::string program_name(int fd, const bpf_prog_info& info)
{
    bpf_func_info function{};
    bpf_prog_info with_function{};
    with_function.nr_func_info = 1;
    with_function.func_info_rec_size = sizeof(function);
    with_function.func_info = reinterpret_cast<uintptr_t>(&function);
    __u32 size = sizeof(with_function);
    const BtfPtr btf(btf__load_from_kernel_by_id(info.btf_id));
    if (!btf || bpf_obj_get_info_by_fd(fd, &with_function, &size) != 0) {
        throw std::runtime_error(std::string("cannot read the full name of ") + info.name);
    }
    return btf__name_by_offset(btf.get(), btf__type_by_id(btf.get(), function.type_id)->name_off);
}

// Of all programs that this process holds: by name, the instructions that the verifier has processed.
std::map<std::string, uint32_t> verified_instructions()
{
    std::map<std::string, uint32_t> cost;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code closed;
        if (std::filesystem::read_symlink(entry, closed) != "anon_inode:bpf-prog") {
            continue;
        }
        const int fd = std::stoi(entry.path().filename());
        bpf_prog_info info{};
        __u32 size = sizeof(info);
        if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0) {
            cost[program_name(fd, info)] = info.verified_insns;
        }
    }
    return cost;
}

struct Variant {
    friend void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

    std::string name;
    ProbeKind probe;
    Hooks hooks;
    std::string hooks_name;  // in the record
};

std::vector<Variant> variants()
{
    return {{"SchedBest", ProbeKind::kSched, Hooks::kBest, "best"},
            {"SchedRaw", ProbeKind::kSched, Hooks::kRaw, "raw"},
            {"BlockBest", ProbeKind::kBlock, Hooks::kBest, "best"},
            {"BlockRaw", ProbeKind::kBlock, Hooks::kRaw, "raw"},
            {"TcpBest", ProbeKind::kTcp, Hooks::kBest, "best"},
            {"TcpNoFentry", ProbeKind::kTcp, Hooks::kNoFentry, "no fentry"},
            {"TcpRaw", ProbeKind::kTcp, Hooks::kRaw, "raw"}};
}

// What makes different programs of the same source: name in the record -> configuration.
std::map<std::string, TracerConfig> sessions(const Variant& variant)
{
    TracerConfig config;
    config.probe = variant.probe;
    config.hooks = variant.hooks;
    config.task_store = TaskStore::kArray;
    std::map<std::string, TracerConfig> sessions{{"no filter", config}};
    if (variant.probe == ProbeKind::kSched && variant.hooks == Hooks::kBest) {
        sessions["task storage"] = config;
        sessions["task storage"].task_store = TaskStore::kStorage;
    }
    for (const auto& [name, kind] : {std::pair("process", SONDE_FILTER_PROCESS), std::pair("comm", SONDE_FILTER_COMM),
                                     std::pair("cgroup", SONDE_FILTER_CGROUP), std::pair("tree", SONDE_FILTER_TREE)}) {
        sessions[name] = config;
        sessions[name].filter = {.kind = kind, .tgid = 1, .comm = "fifteen-letters", .cgroup_id = 1};
    }
    return sessions;
}

class VerifierCost : public KernelTest, public ::testing::WithParamInterface<Variant> {
  protected:
    [[nodiscard]] Hooks hooks() const override { return GetParam().hooks; }
};

INSTANTIATE_TEST_SUITE_P(, VerifierCost, ::testing::ValuesIn(variants()),
                         [](const ::testing::TestParamInfo<Variant>& variant) { return variant.param.name; });

bool is_recording()
{
    return std::getenv("SONDE_RECORD_VERIFIER_COST") != nullptr;
}

// Compares what is loaded now, or prints it to be recorded.
void compare_with_record(const json& record, const std::string& series, const std::string& hooks,
                         const std::string& session)
{
    const std::map<std::string, uint32_t> cost = verified_instructions();
    ASSERT_FALSE(cost.empty());
    for (const auto& [program, instructions] : cost) {
        ASSERT_GT(instructions, 0U) << "Linux before 5.16 does not tell";
        if (is_recording()) {
            std::cout << "verifier cost: " << json({series, hooks, program, session, instructions}).dump() << std::endl;
            continue;
        }
        const json::json_pointer at("/" + series + "/" + hooks + "/" + program + "/" + session);
        const auto before = record.value(at, uint32_t{0});
        EXPECT_LE(instructions, kMayGrow * before)
            << program << " (" << hooks << " hooks, " << session << ") on Linux " << series
            << ": the verifier processes " << instructions << " instructions, "
            << (before == 0 ? "none are on record" : std::to_string(before) + " are on record")
            << "\nif that is right, record it: " << kRecordAnew;
    }
}

TEST_P(VerifierCost, OfNoProgramIsFarOverTheRecord)
{
    const std::string series = kernel_series();
    const json record = recorded();
    if (!is_recording() && !record.contains(series)) {
        GTEST_SKIP() << "no record for Linux " << series << ": " << kRecordAnew << " live makes one";
    }
    capture_libbpf_messages(false);
    const RootedFs fs;
    const Result<KernelFeatures> features = KernelFeatures::probe("");
    ASSERT_TRUE(features);
    for (const auto& [session, config] : sessions(GetParam())) {
        const LoadedProbe loaded = load_probe(config, *features, fs);
        compare_with_record(record, series, GetParam().hooks_name, session);
    }
    if (is_recording()) {
        GTEST_SKIP() << "recorded, not compared";
    }
}

TEST_F(KernelTest, VerifierCostOfCallsIsNotFarOverTheRecord)
{
    const std::string series = kernel_series();
    const json record = recorded();
    if (!is_recording() && !record.contains(series)) {
        GTEST_SKIP() << "no record for Linux " << series << ": " << kRecordAnew << " live makes one";
    }
    capture_libbpf_messages(false);
    const Result<KernelFeatures> features = KernelFeatures::probe("");
    ASSERT_TRUE(features);
    const auto probe = load_client_probe({}, *features);
    ASSERT_TRUE(probe) << probe.error().what;
    compare_with_record(record, series, "uprobe", "calls");
    if (is_recording()) {
        GTEST_SKIP() << "recorded, not compared";
    }
}

}  // namespace
}  // namespace sonde::test
