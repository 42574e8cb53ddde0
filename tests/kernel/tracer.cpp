// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/tracer.h"

#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "userspace/host/capabilities.h"
#include "userspace/host/kernel_settings.h"
#include "userspace/probes/object.h"

namespace sonde::test {
namespace {

template <class T>
T must(Result<T> result)
{
    if (!result) {
        throw std::runtime_error(result.error().what);
    }
    return std::move(*result);
}

bool contains(const Labels& labels, const Labels& where)
{
    return std::includes(labels.begin(), labels.end(), where.begin(), where.end());
}

// Of the lockdown only: whatever else keeps hooks from working is for tests to find.
std::string refused_by_lockdown(Hooks hooks)
{
    const std::string lockdown = read_kernel_settings(RootedFs()).lockdown;
    if (hooks != Hooks::kRaw || lockdown != "confidentiality") {
        return "";
    }
    const Feature probe_read = must(KernelFeatures::probe("")).probe_read_kernel;
    return probe_read.works ? "" : "kernel lockdown is in its mode " + lockdown + ": " + probe_read.why_not;
}

}  // namespace

Tracer::Tracer(const TracerConfig& config)
{
    if (config.hooks != Hooks::kBest || config.processes != 0) {
        capture_libbpf_messages(false);
        chosen_ = load_probe(config, must(KernelFeatures::probe("")), fs_);
        must(chosen_.probe->attach());
        return;
    }
    SessionConfig session;
    session.probes = {config.probe};
    session.filter = config.filter;
    session.task_store = config.task_store;
    session.by_pid = config.by_pid;
    session_ = must(TraceSession::load(session));
    must(session_->attach());
}

LoadedProbe load_probe(const TracerConfig& config, KernelFeatures features, const RootedFs& fs)
{
    LoadedProbe loaded;
    const KernelSettings settings = read_kernel_settings(fs);
    if (config.hooks == Hooks::kRaw) {
        features.typed_tracepoints = {false, "refused by the test"};
    }
    if (config.hooks != Hooks::kBest) {
        features.fentry = {false, "refused by the test"};
    }
    ProbeOptions options;
    options.filter = config.filter;
    options.task_store = config.task_store;
    options.by_pid = config.by_pid;
    options.cpus = settings.possible_cpus;
    options.pid_max = settings.pid_max;
    options.listening_ports = listening_ports(fs, network_namespaces(fs));
    if (config.filter.kind == SONDE_FILTER_TREE) {
        loaded.follow = must(load_follow_probe(features));
        options.follow_targets_fd = loaded.follow->targets_fd();
    }
    MapSizes sizes = choose_sizes(options, features);
    if (config.processes != 0) {
        sizes.processes = config.processes;
    }
    const std::vector<Choice> choices = choose_hooks(features);
    switch (config.probe) {
        case ProbeKind::kSched:
            loaded.probe = must(load_sched_probe(options, sizes, choices, features));
            break;
        case ProbeKind::kBlock:
            loaded.probe = must(load_block_probe(options, sizes, choices, features, fs));
            break;
        case ProbeKind::kTcp:
            loaded.probe = must(load_tcp_probe(options, sizes, choices, features));
            break;
    }
    return loaded;
}

void Tracer::maintain()
{
    session_ ? session_->maintain() : chosen_.probe->maintain();
}

void Tracer::follow(pid_t tgid)
{
    must(session_ ? session_->follow(tgid) : chosen_.follow->add(tgid));
}

Snapshot Tracer::read()
{
    if (session_) {
        return must(session_->read());
    }
    Snapshot snapshot;
    must(chosen_.probe->read(snapshot));
    return snapshot;
}

Snapshot Tracer::stop()
{
    session_ ? session_->detach() : chosen_.probe->detach();
    return read();
}

Histogram histogram(const Snapshot& snapshot, const std::string& name, const Labels& where)
{
    Histogram sum;
    for (const HistogramSeries& series : snapshot.histograms) {
        if (series.name == name && contains(series.labels, where)) {
            sum.merge(series.histogram);
        }
    }
    return sum;
}

uint64_t counter(const Snapshot& snapshot, const std::string& name, const Labels& where)
{
    uint64_t sum = 0;
    for (const CounterSeries& series : snapshot.counters) {
        if (series.name == name && contains(series.labels, where)) {
            sum += series.value;
        }
    }
    return sum;
}

std::set<std::string> values_of(const Snapshot& snapshot, const std::string& name_prefix, const std::string& label)
{
    std::set<std::string> values;
    for (const HistogramSeries& series : snapshot.histograms) {
        const auto found = series.labels.find(label);
        if (series.name.starts_with(name_prefix) && found != series.labels.end()) {
            values.insert(found->second);
        }
    }
    return values;
}

const ProbeStatus& status_of_measurement(const Snapshot& snapshot, const std::string& measurement)
{
    for (const ProbeStatus& status : snapshot.probes) {
        if (status.measurement == measurement) {
            return status;
        }
    }
    throw std::runtime_error("the snapshot has no measurement " + measurement);
}

uint64_t discarded(const Snapshot& snapshot, const std::string& measurement, const std::string& reason)
{
    const ProbeStatus& status = status_of_measurement(snapshot, measurement);
    const auto found = status.discarded.find(reason);
    return found == status.discarded.end() ? 0 : found->second;
}

std::string describe(const Snapshot& snapshot)
{
    std::string text = "\nlost:";
    for (const ProbeStatus& probe : snapshot.probes) {
        for (const auto& [reason, n] : probe.discarded) {
            text += " [" + probe.measurement + ": " + reason + " " + std::to_string(n) + "]";
        }
    }
    text += "\nseries:";
    for (const char* label : {"process", "port", "device"}) {
        for (const std::string& value : values_of(snapshot, "sonde_", label)) {
            text += " '" + value + "'";
        }
    }
    return text;
}

double seconds(const Histogram& histogram)
{
    return static_cast<double>(histogram.sum_ns) / 1e9;
}

double mean_ns(const Histogram& histogram)
{
    return static_cast<double>(histogram.sum_ns) / static_cast<double>(std::max<uint64_t>(histogram.count(), 1));
}

void KernelTest::SetUp()
{
    const Result<Capabilities> capabilities = read_capabilities(RootedFs());
    if (!capabilities || !capabilities->missing_for_tracing().empty() || geteuid() != 0) {
        GTEST_SKIP() << "needs CAP_BPF, CAP_PERFMON and root";
    }
    if (const std::string refused = refused_by_lockdown(hooks()); !refused.empty()) {
        GTEST_SKIP() << refused;
    }
}

std::string fresh_name()
{
    static int number = 0;
    return "load-" + std::to_string(getpid()) + "-" + std::to_string(++number);
}

TaskFilter comm_filter(const std::string& comm)
{
    TaskFilter filter;
    filter.kind = SONDE_FILTER_COMM;
    filter.comm = comm;
    return filter;
}

}  // namespace sonde::test
