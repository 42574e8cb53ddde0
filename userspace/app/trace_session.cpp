// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/trace_session.h"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>

#include "userspace/export/utf8.h"
#include "userspace/host/capabilities.h"
#include "userspace/host/kernel_settings.h"
#include "userspace/host/listeners.h"
#include "userspace/host/process_count.h"
#include "userspace/probes/object.h"

namespace sonde {
namespace {

using Clock = std::chrono::steady_clock;

double unix_now()
{
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string join(const std::vector<std::string>& words, const char* between)
{
    std::string text;
    for (const std::string& word : words) {
        text += (text.empty() ? "" : between) + word;
    }
    return text;
}

// What to say when the kernel refuses everything.
Error refused(const RootedFs& fs, const Error& error)
{
    const Result<Capabilities> capabilities = read_capabilities(fs);
    if (capabilities && !capabilities->missing_for_tracing().empty()) {
        return Error{EPERM, "loading BPF programs needs " + join(capabilities->missing_for_tracing(), " and ") +
                                ", which this process lacks: run it as root, or give the file the capabilities "
                                "(setcap cap_bpf,cap_perfmon+ep)"};
    }
    if (read_kernel_settings(fs).lockdown == "confidentiality") {
        return Error{error.code,
                     error.what + "; kernel lockdown is in its mode confidentiality, which refuses helpers"};
    }
    return error;
}

// Of this network namespace by netlink, of the others, and where netlink is refused, from /proc.
std::vector<uint16_t> all_listening_ports(const RootedFs& fs, std::vector<std::string> pids)
{
    const Result<std::vector<uint16_t>> own = own_listening_ports();
    if (own && !pids.empty()) {
        pids.erase(pids.begin());
    }
    std::vector<uint16_t> ports = listening_ports(fs, pids);
    if (own) {
        ports.insert(ports.end(), own->begin(), own->end());
        std::sort(ports.begin(), ports.end());
        ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
    }
    return ports;
}

bool any_hook(const std::vector<Choice>& choices, ProbeKind kind)
{
    return std::any_of(choices.begin(), choices.end(),
                       [kind](const Choice& c) { return c.probe == kind && c.row != nullptr; });
}

}  // namespace

TraceSession::~TraceSession() = default;

Result<std::unique_ptr<Probe>> TraceSession::load_probe(ProbeKind kind, const KernelFeatures& features)
{
    switch (kind) {
        case ProbeKind::kSched:
            return load_sched_probe(options_, sizes_, choices_, features);
        case ProbeKind::kBlock:
            return load_block_probe(options_, sizes_, choices_, features, fs_);
        case ProbeKind::kTcp:
            return load_tcp_probe(options_, sizes_, choices_, features);
    }
    return Error{EINVAL, "unknown probe"};
}

// Fails only when no probe could be loaded.
Status TraceSession::load_probes(const std::set<ProbeKind>& kinds, const KernelFeatures& features)
{
    choices_ = choose_hooks(features);
    sizes_ = choose_sizes(options_, features);
    slots_.clear();
    Error first_error{ENOTSUP, "no probe was asked for"};
    bool loaded = false;
    // One after the other: while an object is loaded libbpf holds all types of the kernel, some 7 MB.
    for (const ProbeKind kind : kinds) {
        Slot slot{kind, nullptr, ""};
        if (!any_hook(choices_, kind)) {
            const auto choice =
                std::find_if(choices_.begin(), choices_.end(), [kind](const Choice& c) { return c.probe == kind; });
            slot.why_off = reason_in(choice->rejected.back());
            first_error = {ENOTSUP, slot.why_off};
        } else if (Result<std::unique_ptr<Probe>> probe = load_probe(kind, features); probe) {
            slot.probe = std::move(*probe);
            loaded = true;
        } else {
            slot.why_off = probe.error().what;
            first_error = probe.error();
        }
        slots_.push_back(std::move(slot));
    }
    return loaded ? ok() : Status(first_error);
}

// What a person should know before the numbers come: once per probe, on stderr.
void TraceSession::log_probes() const
{
    for (const Slot& slot : slots_) {
        if (slot.probe && spdlog::should_log(spdlog::level::debug)) {
            spdlog::debug("{}: loaded, {} bytes of kernel memory", probe_name(slot.kind), slot.probe->kernel_bytes());
        }
        if (!slot.probe) {
            spdlog::warn("continuing without {}: {}", probe_name(slot.kind), slot.why_off);
        }
    }
}

// A verifier that refuses the typed programs of a probe may still take their raw twins.
Status TraceSession::load_with_fallback(const SessionConfig& config, KernelFeatures features)
{
    Status status = load_probes(config.probes, features);
    if (!status && features.typed_tracepoints.works && features.raw_tracepoints.works) {
        const Error typed_error = status.error();
        features.typed_tracepoints = features.fentry = {false, typed_error.what};
        status = load_probes(config.probes, features);
        if (!status) {
            return typed_error;
        }
    }
    return status;
}

Status TraceSession::load_client(const SessionConfig& config, const KernelFeatures& features)
{
    // Some descriptors for each process; without uprobe_multi one for each probe.
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &files);
    }
    std::vector<ClientTarget> targets = config.clients;
    watch_ = config.watch;
    if (watch_) {
        if (Status status = watch_->watch(features); !status) {
            return status;
        }
        ClientWatch::News news = watch_->begin();
        for (const std::string& refusal : news.refusals) {
            spdlog::warn("continuing without {}", printable(refusal));
        }
        std::move(news.targets.begin(), news.targets.end(), std::back_inserter(targets));
    }
    Result<std::unique_ptr<ClientProbe>> client = load_client_probe(std::move(targets), features, config.call_limits);
    if (!client) {
        return client.error();
    }
    client_ = std::move(*client);
    return ok();
}

Result<std::unique_ptr<TraceSession>> TraceSession::load(const SessionConfig& config)
{
    std::unique_ptr<TraceSession> session(new TraceSession());
    capture_libbpf_messages(config.verbose);
    const KernelSettings settings = read_kernel_settings(session->fs_);
    Result<KernelFeatures> features = KernelFeatures::probe(config.btf_file);
    if (!features) {
        return features.error();
    }
    if (!features->no_subset.empty()) {
        spdlog::debug("relocating against all types of the kernel: {}", features->no_subset);
    }
    if (!features->raw_tracepoints.works && !features->typed_tracepoints.works) {
        return refused(session->fs_, Error{ENOTSUP, features->raw_tracepoints.why_not});
    }
    if (config.probes.contains(ProbeKind::kTcp)) {
        session->network_namespaces_ = network_namespaces(session->fs_);
    }
    session->options_.filter = config.filter;
    session->options_.task_store = config.task_store;
    session->options_.by_pid = config.by_pid;
    session->options_.ended = config.ended;
    session->options_.cpus = settings.possible_cpus;
    session->options_.pid_max = settings.pid_max;
    session->options_.processes = count_processes(session->fs_);
    session->options_.listening_ports = all_listening_ports(session->fs_, session->network_namespaces_);
    if (config.filter.kind == SONDE_FILTER_TREE) {
        Result<std::unique_ptr<FollowProbe>> follow = load_follow_probe(*features);
        if (!follow) {
            return follow.error();
        }
        session->follow_ = std::move(*follow);
        session->options_.follow_targets_fd = session->follow_->targets_fd();
    }
    if (!config.clients.empty() || config.watch) {
        if (Status status = session->load_client(config, *features); !status) {
            return refused(session->fs_, status.error());
        }
    }
    if (config.probes.empty() && session->client_) {
        return session;
    }
    if (Status status = session->load_with_fallback(config, *features); !status) {
        return refused(session->fs_, status.error());
    }
    session->log_probes();
    if (config.statistics) {
        Result<UniqueFd> statistics = keep_statistics();
        if (!statistics) {
            return statistics.error();
        }
        session->statistics_ = std::move(*statistics);
    }
    return session;
}

Status TraceSession::follow(pid_t tgid)
{
    return follow_->add(tgid);
}

// Asked for by name, so it is an error if none can be attached, unless some may come.
Status TraceSession::attach_client()
{
    Status status = client_->attach();
    std::vector<std::string> refusals = client_->take_refusals();
    if (!status && !watch_) {
        client_.reset();
        return status;
    }
    for (const std::string& refusal : refusals) {
        spdlog::warn("continuing without {}", printable(refusal));
    }
    return ok();
}

void TraceSession::add_clients(ClientWatch::News news)
{
    for (ClientTarget& target : news.targets) {
        const std::string name = target.client + ", process " + std::to_string(target.pid);
        if (Status status = client_->add(std::move(target)); status) {
            spdlog::info("{}: its calls are timed from now on", printable(name));
        } else if (status.error().code == ESTALE) {
            spdlog::debug("{}: {}", printable(name), printable(status.error().what));  // it came and went
        } else {
            spdlog::warn("continuing without {}: {}", printable(name), printable(status.error().what));
        }
    }
    for (const std::string& refusal : client_->take_refusals()) {
        news.refusals.push_back(refusal);
    }
    for (const std::string& refusal : news.refusals) {
        spdlog::warn("continuing without {}", printable(refusal));
    }
}

Status TraceSession::attach()
{
    listen_queue_ = ListenQueueMeter(fs_, network_namespaces_);
    bool attached = false;
    Error last{ENOTSUP, "nothing to attach"};
    for (Slot& slot : slots_) {
        if (!slot.probe) {
            continue;
        }
        if (Status status = slot.probe->attach(); status) {
            attached = true;
        } else {
            last = status.error();
            slot.why_off = last.what;
            slot.probe.reset();
            spdlog::warn("continuing without {}: {}", probe_name(slot.kind), slot.why_off);
        }
    }
    // Last: it takes the longest, and counts nothing until all of it is there.
    if (client_) {
        if (Status status = attach_client(); !status) {
            return status;
        }
        attached = true;
    }
    started_ = Clock::now();
    start_unix_ = unix_now();
    counting_ = true;
    return attached ? ok() : Status(last);
}

void TraceSession::maintain()
{
    for (Slot& slot : slots_) {
        if (slot.probe) {
            slot.probe->maintain();
        }
    }
    if (client_) {
        client_->maintain();
    }
    if (client_ && watch_ && counting_) {
        add_clients(watch_->poll());
    }
}

void TraceSession::detach()
{
    if (!counting_) {
        return;
    }
    for (Slot& slot : slots_) {
        if (slot.probe) {
            slot.probe->detach();
        }
    }
    ended_ = Clock::now();
    if (client_) {
        client_->detach();  // takes its time, of which not all is measured
    }
    counting_ = false;
}

Result<Snapshot> TraceSession::read()
{
    Snapshot snapshot;
    utsname names{};
    uname(&names);
    snapshot.host = names.nodename;
    snapshot.kernel = names.release;
    snapshot.start_unix = start_unix_;
    snapshot.duration_s = std::chrono::duration<double>((counting_ ? Clock::now() : ended_) - started_).count();
    for (Slot& slot : slots_) {
        if (slot.probe) {
            if (Status status = slot.probe->read(snapshot); !status) {
                return status.error();
            }
            continue;
        }
        for (const Choice& choice : choices_) {
            if (choice.probe == slot.kind) {
                ProbeStatus off;
                off.measurement = choice.measurement;
                off.reason = slot.why_off;
                snapshot.probes.push_back(std::move(off));
            }
        }
    }
    if (client_) {
        if (Status status = client_->read(snapshot); !status) {
            return status.error();
        }
    }
    if (!statistics_) {
        // Somebody else may have had the kernel count for a part of the time.
        for (ProbeStatus& probe : snapshot.probes) {
            probe.run_count = probe.run_time_ns = 0;
        }
    }
    const bool tcp = std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) {
        return slot.kind == ProbeKind::kTcp && slot.probe != nullptr;
    });
    if (tcp && options_.filter.kind == SONDE_FILTER_NONE) {
        const ListenQueue grown = listen_queue_.read(fs_);
        snapshot.counters.push_back({"sonde_tcp_listen_overflows_total", {}, grown.overflows});
        snapshot.counters.push_back({"sonde_tcp_listen_drops_total", {}, grown.drops});
    }
    if (follow_ && follow_->lost() != 0) {
        for (ProbeStatus& probe : snapshot.probes) {
            probe.discarded["children not followed: too many processes"] = follow_->lost();
        }
    }
    return snapshot;
}

uint64_t TraceSession::kernel_bytes() const
{
    uint64_t total = client_ ? client_->kernel_bytes() : 0;
    for (const Slot& slot : slots_) {
        total += slot.probe ? slot.probe->kernel_bytes() : 0;
    }
    return total;
}

std::vector<std::string> TraceSession::active() const
{
    std::vector<std::string> names;
    for (const Slot& slot : slots_) {
        for (const Choice& choice : choices_) {
            if (slot.probe && choice.probe == slot.kind && choice.row != nullptr) {
                names.emplace_back(choice.measurement);
            }
        }
    }
    return names;
}

}  // namespace sonde
