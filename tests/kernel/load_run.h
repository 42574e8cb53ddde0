// SPDX-License-Identifier: Apache-2.0
//
// A run of the load generator sonde-load, whose own account is what measurements are compared with.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "userspace/base/unique_fd.h"

namespace sonde::test {

// True in an emulated machine and under a sanitizer (SONDE_TEST_SLOW=1): amounts of work are made smaller.
[[nodiscard]] bool slow_machine();
// `amount`, or a quarter of it on a slow machine.
[[nodiscard]] std::string amount(uint64_t amount);

// What a process may spend on starting and ending, which its load does not account for.
[[nodiscard]] double startup_s();

// Where and how the load runs.
struct Place {
    std::string cgroup{};            // folder of a cgroup to enter before the program starts; empty: none
    int nice = 0;                    // -20: takes the CPU from everything else on a busy host
    std::vector<std::string> via{};  // a program that is to start sonde-load, with its arguments
};

// Started held: the process exists, so that its pid can be traced, and becomes sonde-load when released. Failing
// to start, and an exit other than 0, are test failures. Killed when it is destroyed before its end.
class LoadRun {
  public:
    explicit LoadRun(const std::vector<std::string>& arguments, const Place& place = {});
    ~LoadRun();
    LoadRun(const LoadRun&) = delete;
    LoadRun& operator=(const LoadRun&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    void release();
    // Until the load says that it runs. REQUIRES: --ready or --existing-delay among the arguments.
    void wait_ready();
    void signal(int number) const;
    // Waits for the end and returns the account; meanwhile calls `tick` every `interval`.
    nlohmann::json report(std::chrono::milliseconds interval = std::chrono::hours(1),
                          const std::function<void()>& tick = {});
    // When it has ended: from release to the end; and the CPU time of the process from its creation on.
    [[nodiscard]] uint64_t life_ns() const { return life_ns_; }
    [[nodiscard]] double cpu_s() const { return cpu_s_; }

  private:
    bool read_some();

    pid_t pid_ = -1;
    UniqueFd hold_;
    UniqueFd output_;
    std::string text_;
    uint64_t released_ns_ = 0;
    uint64_t life_ns_ = 0;
    double cpu_s_ = 0;
};

// Runs a load from beginning to end.
nlohmann::json run_load(const std::vector<std::string>& arguments, const Place& place = {});

// The time in which a load's tasks existed and did not compute, by its report.
[[nodiscard]] double not_running_s(const nlohmann::json& report);

[[nodiscard]] uint64_t monotonic_ns();
// Time that the hypervisor took from all CPUs so far: on-CPU time for a tracer, none for getrusage.
[[nodiscard]] uint64_t stolen_ns();

// True as soon as the condition is, false if it does not come true in `at_most`.
bool poll_until(const std::function<bool()>& condition, std::chrono::milliseconds at_most = std::chrono::seconds(20));

}  // namespace sonde::test
