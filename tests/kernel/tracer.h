// SPDX-License-Identifier: Apache-2.0
//
// A tracing session for tests: the whole TraceSession, or one probe whose hooks the test chooses.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "userspace/app/trace_session.h"

namespace sonde::test {

enum class Hooks {
    kBest,      // what TraceSession chooses on this kernel
    kRaw,       // as on a kernel that refuses typed programs: the raw_tp twins
    kNoFentry,  // as on a kernel without fentry: the second-best hook for accept
};

struct TracerConfig {
    ProbeKind probe = ProbeKind::kSched;
    TaskFilter filter{};
    TaskStore task_store = TaskStore::kAuto;
    bool by_pid = false;
    Hooks hooks = Hooks::kBest;
    uint32_t processes = 0;  // slots; 0: as many as TraceSession would make
};

// One probe with these hooks, loaded and not attached, and what follows processes where the filter wants that.
struct LoadedProbe {
    std::unique_ptr<FollowProbe> follow;
    std::unique_ptr<Probe> probe;
};
// Throws when the kernel refuses it. `fs` must outlive the result.
[[nodiscard]] LoadedProbe load_probe(const TracerConfig& config, KernelFeatures features, const RootedFs& fs);

// Attached from its construction on; throws when that fails.
class Tracer {
  public:
    explicit Tracer(const TracerConfig& config);

    void maintain();
    // REQUIRES: the filter's kind is SONDE_FILTER_TREE.
    void follow(pid_t tgid);
    [[nodiscard]] Snapshot read();
    // Ends tracing and returns what was measured.
    [[nodiscard]] Snapshot stop();

  private:
    RootedFs fs_;
    std::unique_ptr<TraceSession> session_;  // or, where the test chooses the hooks:
    LoadedProbe chosen_;
};

// Some kernels leave out a tracepoint in some ten thousand hits (all programs on it, and ftrace, miss the same ones),
// so an exact count may be short by chance. Measures until it is complete, at most three times; returns the last.
template <class Measure, class IsComplete>
auto measure_complete(Measure measure, IsComplete is_complete)
{
    auto measured = measure();
    for (int repeats = 0; repeats < 2 && !is_complete(measured); ++repeats) {
        measured = measure();
    }
    return measured;
}

// --- what a snapshot says ---

// The sum of all series of that name whose labels contain `where`.
[[nodiscard]] Histogram histogram(const Snapshot& snapshot, const std::string& name, const Labels& where);
[[nodiscard]] uint64_t counter(const Snapshot& snapshot, const std::string& name, const Labels& where);
// All values of a label among the histograms whose names begin so.
[[nodiscard]] std::set<std::string> values_of(const Snapshot& snapshot, const std::string& name_prefix,
                                              const std::string& label);
// Events of a measurement that were lost for this reason.
[[nodiscard]] uint64_t discarded(const Snapshot& snapshot, const std::string& measurement, const std::string& reason);
[[nodiscard]] const ProbeStatus& status_of_measurement(const Snapshot& snapshot, const std::string& measurement);

// What was lost, and the processes, ports or devices that show: for failure messages.
[[nodiscard]] std::string describe(const Snapshot& snapshot);

[[nodiscard]] double seconds(const Histogram& histogram);
[[nodiscard]] double mean_ns(const Histogram& histogram);

inline const std::string kRunQueue = "sonde_sched_runq_latency_seconds";
inline const std::string kOnCpu = "sonde_sched_oncpu_seconds";
inline const std::string kOffCpu = "sonde_sched_offcpu_seconds";
inline const std::string kBlockLatency = "sonde_block_io_latency_seconds";
inline const std::string kBlockBytes = "sonde_block_io_bytes_total";
inline const std::string kRtt = "sonde_tcp_rtt_seconds";
inline const std::string kConnect = "sonde_tcp_connect_latency_seconds";
inline const std::string kAccept = "sonde_tcp_accept_latency_seconds";

// Skips where the process may not trace, and where kernel lockdown refuses the hooks that the test is about.
class KernelTest : public ::testing::Test {
  protected:
    void SetUp() override;
    [[nodiscard]] virtual Hooks hooks() const { return Hooks::kBest; }
};

// The name of a process that no other test uses, so that its series are its own.
[[nodiscard]] std::string fresh_name();

[[nodiscard]] TaskFilter comm_filter(const std::string& comm);

}  // namespace sonde::test
