// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "userspace/app/client_watch.h"
#include "userspace/base/result.h"
#include "userspace/base/rooted_fs.h"
#include "userspace/base/unique_fd.h"
#include "userspace/host/tcp_state.h"
#include "userspace/metrics/snapshot.h"
#include "userspace/probes/client_probe.h"
#include "userspace/probes/probe.h"

namespace sonde {

struct SessionConfig {
    std::set<ProbeKind> probes{ProbeKind::kSched, ProbeKind::kBlock, ProbeKind::kTcp};
    TaskFilter filter;
    std::vector<ClientTarget> clients;   // whose functions are timed, whatever the filter
    std::shared_ptr<ClientWatch> watch;  // finds more of them, now and later; null: none
    CallLimits call_limits;
    std::string btf_file;
    TaskStore task_store = TaskStore::kAuto;
    bool by_pid = false;
    EndedNames ended = EndedNames::kKeep;
    bool statistics = false;  // have the kernel time every BPF program (adds some 60 ns to each run)
    bool verbose = false;     // libbpf's messages on stderr
};

// The probes of one session, wired together: from load to the last reading. One thread.
class TraceSession {
  public:
    // Loads everything; nothing is counted yet. Error code EPERM when privileges are missing, ENOTSUP when this
    // kernel can measure nothing of what was asked for. A probe that cannot be loaded while others can is
    // reported as off in each snapshot.
    static Result<std::unique_ptr<TraceSession>> load(const SessionConfig& config);
    ~TraceSession();

    // Follows the children of this process. REQUIRES: the filter's kind is SONDE_FILTER_TREE.
    Status follow(pid_t tgid);
    Status attach();
    // Housekeeping, to be called a few times a second; next to free when there is nothing to do.
    void maintain();
    // Stops counting. Readings after this are complete.
    void detach();
    Result<Snapshot> read();

    [[nodiscard]] uint64_t kernel_bytes() const;
    // Processes whose functions are timed now.
    [[nodiscard]] ClientProbe::Extent clients() const { return client_ ? client_->extent() : ClientProbe::Extent(); }
    // Names of the measurements that work, for a progress line.
    [[nodiscard]] std::vector<std::string> active() const;

  private:
    TraceSession() = default;
    Result<std::unique_ptr<Probe>> load_probe(ProbeKind kind, const KernelFeatures& features);
    Status load_probes(const std::set<ProbeKind>& kinds, const KernelFeatures& features);
    Status load_with_fallback(const SessionConfig& config, KernelFeatures features);
    Status load_client(const SessionConfig& config, const KernelFeatures& features);
    Status attach_client();
    void add_clients(ClientWatch::News news);
    void log_probes() const;

    struct Slot {
        ProbeKind kind;
        std::unique_ptr<Probe> probe;  // null: off
        std::string why_off;
    };
    RootedFs fs_;
    ProbeOptions options_;
    MapSizes sizes_;
    std::vector<Choice> choices_;
    std::unique_ptr<FollowProbe> follow_;
    std::vector<Slot> slots_;
    std::unique_ptr<ClientProbe> client_;
    std::shared_ptr<ClientWatch> watch_;
    UniqueFd statistics_;
    std::vector<std::string> network_namespaces_;
    ListenQueueMeter listen_queue_;
    std::chrono::steady_clock::time_point started_;
    std::chrono::steady_clock::time_point ended_;
    double start_unix_ = 0;
    bool counting_ = false;
};

}  // namespace sonde
