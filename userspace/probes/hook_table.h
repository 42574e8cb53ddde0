// SPDX-License-Identifier: Apache-2.0
//
// Which hooks give which measurement: a table, best hook first. For each measurement the first row whose needs are
// met is used; `sonde doctor` prints the table with the choice.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "userspace/probes/features.h"

namespace sonde {

enum class ProbeKind { kSched, kBlock, kTcp };
[[nodiscard]] std::string_view probe_name(ProbeKind kind);  // as in --probes

// What one event costs, measured against the latency of what it is about; see tests/bench.
enum class CostClass {
    kLow,     // some ten ns on an event that takes microseconds
    kMedium,  // up to 0.3 us: every field is read by a helper call, state is in a hash
};
[[nodiscard]] std::string_view cost_name(CostClass cost);

enum class Need { kRawTracepoint, kTypedTracepoint, kFentry, kSocketStorage, kProbeRead };

struct HookRow {
    std::string_view measurement;
    ProbeKind probe;
    std::string_view hook;                   // for people: "tp_btf/sched_switch"
    std::vector<std::string_view> programs;  // BPF programs to load and attach
    std::vector<Need> needs;
    std::vector<std::string_view> tracepoints;  // that must exist
    std::string_view function;                  // that must exist, with this many arguments
    int function_args = 0;
    CostClass cost = CostClass::kLow;
    std::string_view lost;  // what is worse than with the best row; empty for the best
};

// The whole table, rows of a measurement together, best first.
[[nodiscard]] const std::vector<HookRow>& hook_table();

struct Choice {
    std::string_view measurement;
    ProbeKind probe;
    const HookRow* row = nullptr;       // null: the measurement cannot be made here
    std::vector<std::string> rejected;  // "HOOK: why": better rows, or all, that were passed over
};

// "HOOK: why" -> "why"
[[nodiscard]] std::string reason_in(const std::string& rejected);

// One choice per measurement, in the table's order. Pure.
[[nodiscard]] std::vector<Choice> choose_hooks(const KernelFeatures& features);

}  // namespace sonde
