// SPDX-License-Identifier: Apache-2.0
#include "tests/load/load.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <sstream>

namespace sonde::load {
namespace {

constexpr size_t kMaxSamples = 4'000'000;
constexpr double kHardLimitSlackSec = 15;

// In shared memory, so that the signal handler of one process stops its children too.
std::atomic<uint32_t>* stop_word = nullptr;

uint64_t read_clock(clockid_t clock)
{
    timespec now{};
    check(::clock_gettime(clock, &now), "clock_gettime");
    return static_cast<uint64_t>(now.tv_sec) * kNsPerSec + static_cast<uint64_t>(now.tv_nsec);
}

timespec to_timespec(uint64_t ns)
{
    return {static_cast<time_t>(ns / kNsPerSec), static_cast<long>(ns % kNsPerSec)};
}

void* map_shared(size_t bytes)
{
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fail("mmap of shared memory");
    }
    return memory;
}

void on_stop_signal(int)
{
    stop_word->store(1, std::memory_order_relaxed);
}

void on_hard_limit(int)
{
    constexpr std::string_view kMessage = "sonde-load: hangs past its time limit, gives up\n";
    (void)!::write(STDERR_FILENO, kMessage.data(), kMessage.size());
    ::_exit(3);
}

void handle(int signal, void (*handler)(int))
{
    struct sigaction action {};
    action.sa_handler = handler;  // without SA_RESTART: blocking calls return at once
    check(::sigaction(signal, &action, nullptr), "sigaction");
}

}  // namespace

uint64_t now_ns()
{
    return read_clock(CLOCK_MONOTONIC);
}

void fail(std::string_view what)
{
    std::fprintf(stderr, "sonde-load: %.*s: %s\n", static_cast<int>(what.size()), what.data(), std::strerror(errno));
    ::_exit(1);
}

long check(long result, std::string_view what)
{
    if (result < 0) {
        fail(what);
    }
    return result;
}

void install_stop_signals()
{
    stop_word = new (map_shared(sizeof(*stop_word))) std::atomic<uint32_t>(0);
    handle(SIGTERM, on_stop_signal);
    handle(SIGINT, on_stop_signal);
    handle(SIGPIPE, SIG_IGN);
}

void set_hard_limit(double seconds)
{
    handle(SIGALRM, on_hard_limit);
    ::alarm(static_cast<unsigned>(seconds + kHardLimitSlackSec));
}

bool stop_requested()
{
    return stop_word->load(std::memory_order_relaxed) != 0;
}
void request_stop()
{
    stop_word->store(1, std::memory_order_relaxed);
}

void sleep_ns(uint64_t duration_ns)
{
    const timespec duration = to_timespec(duration_ns);
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, nullptr);
}

void sleep_until_ns(uint64_t end_ns)
{
    const timespec end = to_timespec(end_ns);
    ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nullptr);
}

void pin_to(int cpu)
{
    if (cpu < 0) {
        return;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(cpu), &set);
    check(::sched_setaffinity(0, sizeof(set), &set), "pin to CPU " + std::to_string(cpu));
}

Limit::Limit(const Options& options, double seconds) : count_(options.number("count", 0, 0, UINT64_MAX))
{
    const double limit = options.seconds(count_ > 0 ? kMaxSeconds : seconds);
    end_ns_ = now_ns() + static_cast<uint64_t>(limit * 1e9);
}

bool Limit::reached(uint64_t done) const
{
    return (count_ > 0 && done >= count_) || stop_requested() || now_ns() >= end_ns_;
}

void Samples::add(uint64_t ns)
{
    if (values_.size() < kMaxSamples) {
        values_.push_back(ns);
    }
    ++count_;
    sum_ns_ += ns;
    max_ns_ = std::max(max_ns_, ns);
}

void Samples::add_all(const Samples& other)
{
    values_.insert(values_.end(), other.values_.begin(), other.values_.end());
    count_ += other.count_;
    sum_ns_ += other.sum_ns_;
    max_ns_ = std::max(max_ns_, other.max_ns_);
}

// A percentile is the smallest value that at least that share of the values does not exceed.
std::string Samples::json() const
{
    std::ostringstream out;
    out << "{\"count\":" << count_ << ",\"sum\":" << sum_ns_;
    if (!values_.empty()) {
        std::vector<uint64_t> sorted = values_;
        std::sort(sorted.begin(), sorted.end());
        out << ",\"min\":" << sorted.front();
        constexpr std::pair<const char*, size_t> kPerMille[] = {
            {"p10", 100}, {"p50", 500}, {"p90", 900}, {"p99", 990}, {"p999", 999}};
        for (const auto& [name, per_mille] : kPerMille) {
            const size_t rank = (sorted.size() * per_mille + 999) / 1000;
            out << ",\"" << name << "\":" << sorted[rank - 1];
        }
        out << ",\"max\":" << max_ns_;
    }
    out << "}";
    return out.str();
}

TaskTable::TaskTable(size_t tasks)
    : tasks_(static_cast<TaskTruth*>(map_shared(tasks * sizeof(TaskTruth)))), size_(tasks)
{}

TaskTable::~TaskTable()
{
    ::munmap(tasks_, size_ * sizeof(TaskTruth));
}

uint64_t TaskTable::sum(uint64_t TaskTruth::*field) const
{
    uint64_t total = 0;
    for (size_t i = 0; i < size_; ++i) {
        total += tasks_[i].*field;
    }
    return total;
}

TaskScope::TaskScope(TaskTruth& truth, std::string_view role, int cpu) : truth_(truth)
{
    role.copy(truth_.role, sizeof(truth_.role) - 1);
    truth_.pid = ::getpid();
    truth_.tid = ::gettid();
    pin_to(cpu);
    start_cpu_ns_ = read_clock(CLOCK_THREAD_CPUTIME_ID);
    start_ns_ = now_ns();
}

void TaskScope::finish(uint64_t operations, uint64_t blocked_ns)
{
    truth_.elapsed_ns = now_ns() - start_ns_;
    truth_.cpu_ns = read_clock(CLOCK_THREAD_CPUTIME_ID) - start_cpu_ns_;
    truth_.operations = operations;
    truth_.blocked_ns = blocked_ns;
    rusage usage{};
    check(::getrusage(RUSAGE_THREAD, &usage), "getrusage");
    truth_.voluntary = static_cast<uint64_t>(usage.ru_nvcsw);
    truth_.involuntary = static_cast<uint64_t>(usage.ru_nivcsw);
}

Worker::Worker(Kind kind, const std::string& comm, const std::function<void()>& body)
{
    if (kind == Kind::kThread) {
        thread_ = std::thread([comm, body] {
            ::prctl(PR_SET_NAME, comm.c_str());
            body();
        });
        return;
    }
    const int parent = ::getpid();
    pid_ = static_cast<int>(check(::fork(), "fork"));
    if (pid_ == 0) {
        check(::prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl(PR_SET_PDEATHSIG)");
        if (::getppid() != parent) {
            ::_exit(1);
        }
        ::prctl(PR_SET_NAME, comm.c_str());
        body();
        ::_exit(0);
    }
}

void Worker::join()
{
    if (thread_.joinable()) {
        thread_.join();
        return;
    }
    int status = 0;
    check_retried([&] { return ::waitpid(pid_, &status, 0); }, "waitpid");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        errno = ECHILD;
        fail("child " + std::to_string(pid_) + " failed, wait status " + std::to_string(status));
    }
}

Report::Report(const std::string& load) : fields_("\"load\":\"" + load + "\"")
{
    add("pid", static_cast<uint64_t>(::getpid()));
}

void Report::add_raw(const std::string& name, const std::string& json)
{
    fields_ += ",\"" + name + "\":" + json;
}

void Report::add(TaskTable& tasks)
{
    add("cpu_ns", tasks.sum(&TaskTruth::cpu_ns));
    add("blocked_ns", tasks.sum(&TaskTruth::blocked_ns));
    add("voluntary_switches", tasks.sum(&TaskTruth::voluntary));
    add("involuntary_switches", tasks.sum(&TaskTruth::involuntary));
    std::ostringstream list;
    for (size_t i = 0; i < tasks.size(); ++i) {
        const TaskTruth& task = tasks[i];
        list << (i == 0 ? "[" : ",") << "{\"role\":\"" << task.role << "\",\"pid\":" << task.pid
             << ",\"tid\":" << task.tid << ",\"operations\":" << task.operations
             << ",\"elapsed_ns\":" << task.elapsed_ns << ",\"cpu_ns\":" << task.cpu_ns
             << ",\"blocked_ns\":" << task.blocked_ns << ",\"voluntary_switches\":" << task.voluntary
             << ",\"involuntary_switches\":" << task.involuntary << "}";
    }
    add_raw("tasks", list.str() + "]");
}

void print_ready()
{
    std::puts("ready");
    std::fflush(stdout);
}

void announce(const Options& options)
{
    if (options.has("ready")) {
        print_ready();
    }
}

std::string comm_of(const Options& options)
{
    return options.text("comm", "sonde-load");
}

}  // namespace sonde::load
