// SPDX-License-Identifier: Apache-2.0
//
// What all load generators share: options, bounds, their own measurements, and the report.
//
// A load does one thing of known size and keeps its own account of it ("truth"), taken with the clocks of
// user space and getrusage: never with tracing, so that a tracer can be compared with it. Every load is
// bounded by --seconds (at most 120) and ends on SIGTERM or SIGINT with the report so far. A load that cannot
// do what it is asked for prints why and exits with 1: a test must not go on with half a load.
#pragma once

#include <cerrno>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/load/options.h"

namespace sonde::load {

constexpr uint64_t kNsPerSec = 1'000'000'000;

// CLOCK_MONOTONIC, the clock of the tracer's timestamps.
[[nodiscard]] uint64_t now_ns();
// Prints "sonde-load: what: errno" and ends the process with 1.
[[noreturn]] void fail(std::string_view what);
// The result of a system call; fails if it is negative.
long check(long result, std::string_view what);
// Repeats a call that a signal interrupted, then checks it.
template <class Call>
long check_retried(Call call, std::string_view what)
{
    long result = call();
    while (result < 0 && errno == EINTR) {
        result = call();
    }
    return check(result, what);
}

// Shares a "stop" word with all children and makes SIGTERM and SIGINT set it; a hard limit kills what hangs.
void install_stop_signals();
void set_hard_limit(double seconds);
[[nodiscard]] bool stop_requested();
void request_stop();
// Sleeps; returns early when a signal arrives. Absolute times are of CLOCK_MONOTONIC.
void sleep_ns(uint64_t duration_ns);
void sleep_until_ns(uint64_t end_ns);
void pin_to(int cpu);

// When a load is over: --count operations done, --seconds passed (default `seconds`, or the maximum if
// --count is given) or a stop requested. reached() reads the clock, which costs some 50 ns.
class Limit {
  public:
    explicit Limit(const Options& options, double seconds = 5);
    [[nodiscard]] bool reached(uint64_t done) const;

  private:
    uint64_t count_;
    uint64_t end_ns_;
};

// Durations, kept one by one (the first 4 million), so that percentiles are exact.
class Samples {
  public:
    void add(uint64_t ns);
    void add_all(const Samples& other);
    [[nodiscard]] uint64_t count() const { return count_; }
    [[nodiscard]] uint64_t sum_ns() const { return sum_ns_; }
    [[nodiscard]] std::string json() const;

  private:
    std::vector<uint64_t> values_;
    uint64_t count_ = 0;
    uint64_t sum_ns_ = 0;
    uint64_t max_ns_ = 0;
};

// One task's own account. CPU time covers the measured loop, context switches the life of the task.
struct TaskTruth {
    char role[16];
    int pid;
    int tid;
    uint64_t operations;
    uint64_t elapsed_ns;
    uint64_t cpu_ns;
    uint64_t blocked_ns;  // as the task saw it: clock around its blocking calls
    uint64_t voluntary;
    uint64_t involuntary;
};

// An array of TaskTruth in memory shared with child processes.
class TaskTable {
  public:
    explicit TaskTable(size_t tasks);
    ~TaskTable();
    TaskTable(const TaskTable&) = delete;
    TaskTable& operator=(const TaskTable&) = delete;
    [[nodiscard]] TaskTruth& operator[](size_t task) { return tasks_[task]; }
    [[nodiscard]] size_t size() const { return size_; }
    [[nodiscard]] uint64_t sum(uint64_t TaskTruth::*field) const;

  private:
    TaskTruth* tasks_;
    size_t size_;
};

// Opened by a task when its measured loop begins, finished when it ends. Pins the task to `cpu` first.
class TaskScope {
  public:
    TaskScope(TaskTruth& truth, std::string_view role, int cpu);
    void finish(uint64_t operations, uint64_t blocked_ns);

  private:
    TaskTruth& truth_;
    uint64_t start_ns_;
    uint64_t start_cpu_ns_;
};

// Runs a body in a thread or in a child process named `comm`, which dies with its parent.
class Worker {
  public:
    enum class Kind { kProcess, kThread };
    // REQUIRES: called from the main thread (a child lives as long as the thread that made it).
    Worker(Kind kind, const std::string& comm, const std::function<void()>& body);
    Worker(Worker&&) = default;
    [[nodiscard]] int pid() const { return pid_; }
    // Waits for the end; fails if a child process did not exit with 0.
    void join();

  private:
    int pid_ = -1;
    std::thread thread_;
};

// A flat JSON object, printed as one line.
class Report {
  public:
    explicit Report(const std::string& load);
    void add(const std::string& name, uint64_t value) { add_raw(name, std::to_string(value)); }
    void add(const std::string& name, const Samples& samples) { add_raw(name, samples.json()); }
    void add_raw(const std::string& name, const std::string& json);
    // The tasks one by one, and the sums of the fields that can be added up.
    void add(TaskTable& tasks);
    [[nodiscard]] std::string json() const { return "{" + fields_ + "}"; }

  private:
    std::string fields_;
};

// The line "ready" on stdout, which tells a waiting test that the load exists. Printed with --ready.
void print_ready();
void announce(const Options& options);
[[nodiscard]] std::string comm_of(const Options& options);

}  // namespace sonde::load
