// SPDX-License-Identifier: Apache-2.0
//
// Loads that come and go: processes in all the ways in which they are born, renamed and end, and cgroups. They show
// what a tracer keeps of what is no longer there.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "tests/load/loads.h"
#include "userspace/base/unique_fd.h"

namespace sonde::load {
namespace {

constexpr uint64_t kShortSleepNs = 200'000;

// Unlike any that a process had in the last hour.
std::string fresh_name(const std::string& comm)
{
    std::array<char, 16> name{};
    std::snprintf(name.data(), name.size(), "%.6s-%08x", comm.c_str(), static_cast<uint32_t>(now_ns() / 1000));
    return name.data();
}

// One kind of life per child, in turn.
enum Life : uint64_t { kNamed, kNamedAgain, kRenamed, kSleeper, kThreads, kExec, kExecInThread, kLives };
constexpr uint64_t kThreadsOfOne = 2;

// Tasks that a life consists of.
uint64_t tasks_of(uint64_t life)
{
    return life == kThreads ? 1 + kThreadsOfOne : life == kExecInThread ? 2 : 1;
}

void exec(const std::string& program)
{
    ::execl(program.c_str(), program.c_str(), static_cast<char*>(nullptr));
    fail("exec " + program);
}

void live(uint64_t life, const std::string& comm, const std::string& program)
{
    ::prctl(PR_SET_NAME, fresh_name(comm).c_str());
    if (life == kRenamed) {
        sleep_ns(kShortSleepNs);
        ::prctl(PR_SET_NAME, fresh_name(comm).c_str());
    } else if (life == kSleeper) {
        sleep_ns(kShortSleepNs);
    } else if (life == kThreads) {
        std::vector<std::thread> threads;
        for (uint64_t i = 0; i < kThreadsOfOne; ++i) {
            threads.emplace_back([] { sleep_ns(kShortSleepNs); });
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
    } else if (life == kExec) {
        exec(program);
    } else if (life == kExecInThread) {
        std::thread([&program] { exec(program); }).detach();
        for (;;) {
            ::pause();
        }
    }
}

// Waits for children: for all of them, or for those that have ended. Returns how many there were.
uint64_t reap(uint64_t alive, int flags)
{
    uint64_t reaped = 0;
    while (reaped < alive) {
        int status = 0;
        const pid_t child = static_cast<pid_t>(check_retried([&] { return ::waitpid(-1, &status, flags); }, "waitpid"));
        if (child == 0) {
            break;
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            errno = ECHILD;
            fail("child " + std::to_string(child) + " failed, wait status " + std::to_string(status));
        }
        ++reaped;
    }
    return reaped;
}

void write_file(const std::string& path, const std::string& text)
{
    const UniqueFd fd(static_cast<int>(check(::open(path.c_str(), O_WRONLY | O_CLOEXEC), "open " + path)));
    check(::write(fd.get(), text.data(), text.size()), "write to " + path);
}

// Sleeps as often as asked, and returns how often the thread was off the CPU for it: a sleep may be over before.
uint64_t sleep_times(uint64_t times)
{
    rusage before{};
    rusage after{};
    check(::getrusage(RUSAGE_THREAD, &before), "getrusage");
    for (uint64_t i = 0; i < times; ++i) {
        sleep_ns(kShortSleepNs);
    }
    check(::getrusage(RUSAGE_THREAD, &after), "getrusage");
    return static_cast<uint64_t>(after.ru_nvcsw - before.ru_nvcsw);
}

}  // namespace

// Starts --rate children per second, under names that nobody had before, and does not wait for one before it starts
// the next. Every seventh has threads, execs --exec, does so in another thread than the leader, and so on.
Report run_churn(const Options& options)
{
    const uint64_t period_ns = kNsPerSec / options.number("rate", 100, 1, 100'000);
    const std::string program = options.text("exec", "/bin/true");
    const std::string comm = comm_of(options);
    TaskTable tasks(1);
    announce(options);
    TaskScope scope(tasks[0], "parent", options.cpu_of(0));
    const Limit limit(options);
    std::array<uint64_t, kLives> lives{};
    uint64_t forks = 0;
    uint64_t reaped = 0;
    uint64_t born = 0;
    uint64_t late = 0;
    uint64_t next_ns = now_ns();
    while (!limit.reached(forks)) {
        const uint64_t life = forks % kLives;
        if (check(::fork(), "fork") == 0) {
            live(life, comm, program);
            ::_exit(0);
        }
        ++forks;
        ++lives[life];
        born += tasks_of(life);
        reaped += reap(forks - reaped, WNOHANG);
        next_ns += period_ns;
        const uint64_t now = now_ns();
        if (next_ns > now) {
            sleep_until_ns(next_ns);
        } else {
            ++late;
            next_ns = now;
        }
    }
    reap(forks - reaped, 0);
    scope.finish(forks, 0);
    Report report("churn");
    report.add("count", forks);
    report.add("tasks_born", born);
    report.add("with_threads", lives[kThreads]);
    report.add("execs", lives[kExec] + lives[kExecInThread]);
    report.add("execs_in_thread", lives[kExecInThread]);
    report.add("late", late);
    report.add(tasks);
    return report;
}

// Makes a cgroup v2 below --cgroup, lets a child enter it and sleep three times there, and removes it; --rate times
// per second. Every second child leaves again, to --outside, and sleeps there. "inside" and "outside" are the times
// that children were off the CPU for these sleeps.
Report run_cgroups(const Options& options)
{
    constexpr uint64_t kSleepsInside = 3;
    const uint64_t period_ns = kNsPerSec / options.number("rate", 100, 1, 10'000);
    const std::string parent = options.text("cgroup", "");
    const std::string outside = options.text("outside", "");
    if (parent.empty() || outside.empty()) {
        usage_error("this load needs --cgroup FOLDER and --outside FOLDER");
    }
    TaskTable children(1);
    TaskTable tasks(1);
    announce(options);
    TaskScope scope(tasks[0], "parent", options.cpu_of(0));
    const Limit limit(options);
    uint64_t groups = 0;
    uint64_t inside = 0;
    uint64_t outside_sleeps = 0;
    while (!limit.reached(groups)) {
        const uint64_t start_ns = now_ns();
        const std::string group = parent + "/group-" + std::to_string(::getpid()) + "-" + std::to_string(groups);
        check(::mkdir(group.c_str(), 0755), "mkdir " + group);
        Worker child(Worker::Kind::kProcess, comm_of(options), [&] {
            write_file(group + "/cgroup.procs", "0");
            children[0].voluntary = sleep_times(kSleepsInside);
            children[0].operations = 0;
            if (groups % 2 == 1) {
                write_file(outside + "/cgroup.procs", "0");
                children[0].operations = sleep_times(1);
            }
        });
        child.join();
        check(::rmdir(group.c_str()), "rmdir " + group);
        inside += children[0].voluntary;
        outside_sleeps += children[0].operations;
        ++groups;
        sleep_until_ns(start_ns + period_ns);
    }
    scope.finish(groups, 0);
    Report report("cgroups");
    report.add("count", groups);
    report.add("inside", inside);
    report.add("outside", outside_sleeps);
    report.add(tasks);
    return report;
}

}  // namespace sonde::load
