// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/load_run.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>

namespace sonde::test {
namespace {

constexpr int kSlowDivisor = 4;

double seconds_of(const timeval& time)
{
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

const char* load_path()
{
    const char* path = std::getenv("SONDE_LOAD");
    return path != nullptr ? path : SONDE_LOAD_PATH;
}

// The child's side, between fork and exec.
[[noreturn]] void become_load(const std::vector<std::string>& arguments, const Place& place, int hold, int output)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!place.cgroup.empty()) {
        std::ofstream(place.cgroup + "/cgroup.procs") << getpid() << std::endl;
    }
    setpriority(PRIO_PROCESS, 0, place.nice);
    dup2(output, STDOUT_FILENO);
    char byte = 0;
    if (::read(hold, &byte, 1) != 1) {
        _exit(1);
    }
    std::vector<std::string> words = place.via;
    words.emplace_back(load_path());
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    perror(argv[0]);
    _exit(127);
}

}  // namespace

bool slow_machine()
{
    const char* slow = std::getenv("SONDE_TEST_SLOW");
    return slow != nullptr && std::string(slow) == "1";
}

double startup_s()
{
    return slow_machine() ? 0.1 : 0.01;
}

std::string amount(uint64_t amount)
{
    return std::to_string(slow_machine() ? amount / kSlowDivisor : amount);
}

uint64_t monotonic_ns()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t stolen_ns()
{
    std::ifstream stat("/proc/stat");
    std::string cpu;
    std::array<uint64_t, 8> ticks{};  // user nice system idle iowait irq softirq steal
    stat >> cpu;
    for (uint64_t& each : ticks) {
        stat >> each;
    }
    return ticks[7] * 1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
}

bool poll_until(const std::function<bool()>& condition, std::chrono::milliseconds at_most)
{
    const auto end = std::chrono::steady_clock::now() + at_most;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        usleep(1000);
    }
    return true;
}

LoadRun::LoadRun(const std::vector<std::string>& arguments, const Place& place)
{
    std::array<int, 2> hold{};
    std::array<int, 2> output{};
    if (pipe2(hold.data(), O_CLOEXEC) != 0 || pipe2(output.data(), O_CLOEXEC) != 0) {
        throw std::runtime_error("pipe2 failed");
    }
    UniqueFd child_hold(hold[0]);
    UniqueFd child_output(output[1]);
    hold_ = UniqueFd(hold[1]);
    output_ = UniqueFd(output[0]);
    pid_ = fork();
    if (pid_ == 0) {
        become_load(arguments, place, child_hold.get(), child_output.get());
    }
}

LoadRun::~LoadRun()
{
    if (pid_ > 0) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
}

void LoadRun::release()
{
    released_ns_ = monotonic_ns();
    if (::write(hold_.get(), "g", 1) != 1) {
        ADD_FAILURE() << "cannot release the load";
    }
    hold_.reset();
}

bool LoadRun::read_some()
{
    std::array<char, 4096> buffer;
    const ssize_t n = ::read(output_.get(), buffer.data(), buffer.size());
    if (n > 0) {
        text_.append(buffer.data(), static_cast<size_t>(n));
    }
    return n > 0 || (n < 0 && errno == EINTR);
}

void LoadRun::wait_ready()
{
    while (text_.find("ready\n") == std::string::npos) {
        if (!read_some()) {
            throw std::runtime_error("sonde-load ended before it was ready");
        }
    }
}

void LoadRun::signal(int number) const
{
    kill(pid_, number);
}

nlohmann::json LoadRun::report(std::chrono::milliseconds interval, const std::function<void()>& tick)
{
    pollfd readable{output_.get(), POLLIN, 0};
    for (bool open = true; open;) {
        if (poll(&readable, 1, static_cast<int>(interval.count())) == 0) {
            tick();
        } else {
            open = read_some();
        }
    }
    int status = 0;
    rusage usage{};
    wait4(pid_, &status, 0, &usage);
    cpu_s_ = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    life_ns_ = monotonic_ns() - released_ns_;
    pid_ = -1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        throw std::runtime_error("sonde-load failed, wait status " + std::to_string(status));
    }
    const size_t begin = text_.find('{');
    return nlohmann::json::parse(text_.substr(begin == std::string::npos ? 0 : begin));
}

nlohmann::json run_load(const std::vector<std::string>& arguments, const Place& place)
{
    LoadRun load(arguments, place);
    load.release();
    return load.report();
}

double not_running_s(const nlohmann::json& report)
{
    double total = 0;
    for (const nlohmann::json& task : report["tasks"]) {
        total += (task["elapsed_ns"].get<double>() - task["cpu_ns"].get<double>()) / 1e9;
    }
    return total;
}

}  // namespace sonde::test
