// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/doctor.h"

#include <sys/utsname.h>

#include <algorithm>

#include "userspace/app/trace_session.h"
#include "userspace/host/capabilities.h"
#include "userspace/host/process_count.h"
#include "userspace/probes/object.h"

namespace sonde {
namespace {

constexpr uint32_t kLargeCpus = 128;
constexpr uint32_t kLargeProcesses = 4000;
constexpr uint32_t kThreadsPerProcess = 10;
constexpr uint32_t kLargePidMax = 4194304;

std::string remedy_for(const KernelFeatures& features, const Capabilities& capabilities, const Choice& choice)
{
    if (!capabilities.missing_for_tracing().empty()) {
        std::string text = "run as root, or grant";
        for (const std::string& name : capabilities.missing_for_tracing()) {
            text += " " + name;
        }
        return text;
    }
    if (!features.btf.works) {
        return "a kernel with CONFIG_DEBUG_INFO_BTF=y, or --btf FILE with this kernel's BTF";
    }
    if (choice.row != nullptr && choice.row->lost.empty()) {
        return "";
    }
    if (!features.typed_tracepoints.works) {
        return "a kernel with its own BTF (CONFIG_DEBUG_INFO_BTF=y)";
    }
    if (choice.measurement == "off-CPU time" && !features.probe_read_kernel.works) {
        return "kernel lockdown not in its mode confidentiality, which refuses bpf_probe_read_kernel";
    }
    if (choice.measurement == "TCP accept latency" && !features.fentry.works) {
        return "a kernel with fentry (CONFIG_KPROBES, CONFIG_FUNCTION_TRACER and CONFIG_DEBUG_INFO_BTF)";
    }
    return "";
}

DoctorReport::Measurement measurement_of(const KernelFeatures& features, const Capabilities& capabilities,
                                         const Choice& choice)
{
    DoctorReport::Measurement m;
    m.name = choice.measurement;
    m.remedy = remedy_for(features, capabilities, choice);
    if (choice.row == nullptr) {
        // Often all hooks lack the same thing: then it is said once.
        const bool one_reason = std::all_of(choice.rejected.begin(), choice.rejected.end(), [&](const std::string& r) {
            return reason_in(r) == reason_in(choice.rejected.back());
        });
        m.reason = choice.rejected.empty() ? "no hook" : reason_in(choice.rejected.back());
        if (!one_reason) {
            m.rejected.assign(choice.rejected.begin(), choice.rejected.end() - 1);
        }
        return m;
    }
    m.rejected = choice.rejected;
    m.hook = choice.row->hook;
    m.cost = cost_name(choice.row->cost);
    m.state = choice.row->lost.empty() ? ProbeState::kOk : ProbeState::kDegraded;
    m.reason = choice.row->lost;
    return m;
}

DoctorReport::Fact fact(std::string name, const Feature& feature)
{
    return {std::move(name), feature.works ? "yes" : "no: " + feature.why_not, !feature.works};
}

std::vector<DoctorReport::Fact> facts_of(const KernelSettings& kernel, const KernelFeatures& features,
                                         const Capabilities& capabilities, const std::string& btf_file)
{
    std::string present;
    for (const std::string& name : capabilities.present()) {
        present += (present.empty() ? "" : " ") + name;
    }
    std::string missing;
    for (const std::string& name : capabilities.missing_for_tracing()) {
        missing += (missing.empty() ? "; missing: " : " ") + name;
    }
    return {
        {"capabilities", (present.empty() ? "none that matter" : present) + missing, !missing.empty()},
        {"lockdown", kernel.lockdown, kernel.lockdown == "confidentiality"},
        {"BPF JIT", kernel.jit, kernel.jit.starts_with("off")},
        btf_file.empty() ? fact("kernel BTF", features.btf)
                         : DoctorReport::Fact{"kernel BTF", "yes, from " + btf_file, false},
        fact("typed tracepoints (tp_btf)", features.typed_tracepoints),
        fact("raw tracepoints", features.raw_tracepoints),
        fact("fentry/fexit", features.fentry),
        fact("task storage", features.task_storage),
        fact("socket storage", features.socket_storage),
        fact("bpf_probe_read_kernel", features.probe_read_kernel),
        fact("BPF run-time statistics", features.bpf_statistics),
        {"perf_event_paranoid", kernel.perf_event_paranoid, false},
        {"unprivileged_bpf_disabled", kernel.unprivileged_bpf_disabled, false},
        {"cgroup", kernel.cgroup, kernel.cgroup.starts_with("v1:") || kernel.cgroup == "none mounted"},
    };
}

// Loads what a default session would load: the table says what should work, the verifier what does.
void try_to_load(DoctorReport& report, const std::string& btf_file, bool verbose)
{
    SessionConfig config;
    config.btf_file = btf_file;
    config.verbose = verbose;
    Result<std::unique_ptr<TraceSession>> session = TraceSession::load(config);
    if (!session) {
        for (DoctorReport::Measurement& m : report.measurements) {
            if (m.state != ProbeState::kOff) {
                m.state = ProbeState::kOff;
                m.reason = session.error().what;
                m.hook.clear();
            }
        }
        return;
    }
    report.kernel_bytes = (*session)->kernel_bytes();
    const Result<Snapshot> snapshot = (*session)->read();
    if (!snapshot) {
        return;
    }
    for (DoctorReport::Measurement& m : report.measurements) {
        for (const ProbeStatus& probe : snapshot->probes) {
            if (probe.measurement == m.name && probe.state == ProbeState::kOff && m.state != ProbeState::kOff) {
                m.state = ProbeState::kOff;
                m.reason = probe.reason;
                m.hook.clear();
            }
        }
    }
}

}  // namespace

bool DoctorReport::all_work() const
{
    return std::all_of(measurements.begin(), measurements.end(),
                       [](const Measurement& m) { return m.state != ProbeState::kOff; });
}

bool DoctorReport::none_works() const
{
    return std::all_of(measurements.begin(), measurements.end(),
                       [](const Measurement& m) { return m.state == ProbeState::kOff; });
}

Result<DoctorReport> examine_host(const std::string& btf_file, bool verbose)
{
    const RootedFs fs;
    capture_libbpf_messages(verbose);
    const Result<KernelFeatures> features = KernelFeatures::probe(btf_file);
    if (!features) {
        return features.error();
    }
    const Result<Capabilities> capabilities = read_capabilities(fs);
    if (!capabilities) {
        return capabilities.error();
    }
    DoctorReport report;
    utsname names{};
    uname(&names);
    report.host = names.nodename;
    report.kernel = read_kernel_settings(fs);
    report.facts = facts_of(report.kernel, *features, *capabilities, btf_file);
    for (const Choice& choice : choose_hooks(*features)) {
        report.measurements.push_back(measurement_of(*features, *capabilities, choice));
    }
    ProbeOptions options;
    options.cpus = report.kernel.possible_cpus;
    options.pid_max = report.kernel.pid_max;
    options.processes = count_processes(fs);
    const MapSizes sizes = choose_sizes(options, *features);
    report.task_store = sizes.task_storage ? "task storage (pid_max " + std::to_string(options.pid_max) + ")"
                                           : "array by pid (" + std::to_string(sizes.task_entries) + " entries)";
    report.kernel_bytes_computed = map_bytes(sizes, options.cpus, 0);
    options.cpus = kLargeCpus;
    options.pid_max = kLargePidMax;
    options.processes = kLargeProcesses;
    report.kernel_bytes_large =
        map_bytes(choose_sizes(options, *features), kLargeCpus, kLargeProcesses * kThreadsPerProcess);
    if (!report.none_works()) {
        try_to_load(report, btf_file, verbose);
    }
    return report;
}

}  // namespace sonde
