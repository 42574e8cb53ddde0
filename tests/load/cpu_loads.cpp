// SPDX-License-Identifier: Apache-2.0
//
// Loads on the scheduler: tasks that hand a byte to and fro, and tasks that never give the CPU away.
#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "tests/load/loads.h"
#include "userspace/base/unique_fd.h"

namespace sonde::load {
namespace {

constexpr char kBall = 'b';
constexpr char kOver = 'o';
// The clock is read once in this many round trips, so that it does not add to what is measured.
constexpr uint64_t kClockEvery = 64;
constexpr uint64_t kSpinsPerClock = 10'000;

struct Pipe {
    UniqueFd read_end;
    UniqueFd write_end;
};

Pipe make_pipe()
{
    std::array<int, 2> fds{};
    check(::pipe2(fds.data(), O_CLOEXEC), "pipe2");
    return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

void send_byte(const UniqueFd& fd, char byte)
{
    check_retried([&] { return ::write(fd.get(), &byte, 1); }, "write to a pipe");
}

char receive_byte(const UniqueFd& fd)
{
    char byte = kOver;
    check_retried([&] { return ::read(fd.get(), &byte, 1); }, "read from a pipe");
    return byte;
}

struct Pair {
    Pipe there = make_pipe();
    Pipe back = make_pipe();
};

void ping(const Pair& pair, const Options& options, double seconds, TaskTruth& truth, size_t task)
{
    TaskScope scope(truth, "ping", options.cpu_of(task));
    const Limit limit(options, seconds);
    const uint64_t count = options.number("count", 0, 0, UINT64_MAX);
    uint64_t round_trips = 0;
    while ((count > 0 && round_trips < count) || count == 0) {
        if (round_trips % kClockEvery == 0 && limit.reached(round_trips)) {
            break;
        }
        send_byte(pair.there.write_end, kBall);
        receive_byte(pair.back.read_end);
        ++round_trips;
    }
    scope.finish(round_trips, 0);
    send_byte(pair.there.write_end, kOver);
}

void pong(const Pair& pair, const Options& options, TaskTruth& truth, size_t task)
{
    TaskScope scope(truth, "pong", options.cpu_of(task));
    uint64_t round_trips = 0;
    while (receive_byte(pair.there.read_end) == kBall) {
        send_byte(pair.back.write_end, kBall);
        ++round_trips;
    }
    scope.finish(round_trips, 0);
}

}  // namespace

// Two tasks per pair pass a byte to and fro: both wait for the other all the time. --count is per pair.
Report run_pipe(const Options& options)
{
    const size_t pairs = options.number("pairs", 1, 1, 1000);
    const auto kind = options.has("threads") ? Worker::Kind::kThread : Worker::Kind::kProcess;
    TaskTable tasks(2 * pairs);
    std::vector<Pair> pipes(pairs);
    std::vector<Worker> workers;
    const uint64_t start_ns = now_ns();
    for (size_t i = 0; i < pairs; ++i) {
        const Pair& pair = pipes[i];
        workers.emplace_back(kind, comm_of(options), [&, i] { pong(pair, options, tasks[2 * i + 1], 2 * i + 1); });
        workers.emplace_back(kind, comm_of(options), [&, i] { ping(pair, options, 5, tasks[2 * i], 2 * i); });
    }
    announce(options);
    for (Worker& worker : workers) {
        worker.join();
    }

    uint64_t round_trips = 0;
    uint64_t ping_ns = 0;
    for (size_t i = 0; i < pairs; ++i) {
        round_trips += tasks[2 * i].operations;
        ping_ns += tasks[2 * i].elapsed_ns;
    }
    Report report("pipe");
    report.add("count", round_trips);
    report.add("elapsed_ns", now_ns() - start_ns);
    if (round_trips > 0) {
        report.add("cpu_ns_per_op", tasks.sum(&TaskTruth::cpu_ns) / round_trips);
        report.add("wall_ns_per_op", ping_ns / round_trips);
    }
    report.add(tasks);
    return report;
}

// Threads that compute: what they do not run, they wait on the run queue, and nowhere else.
Report run_spin(const Options& options)
{
    const size_t threads = options.number("threads", 2, 1, 1000);
    TaskTable tasks(threads);
    std::vector<Worker> workers;
    for (size_t i = 0; i < threads; ++i) {
        workers.emplace_back(Worker::Kind::kThread, comm_of(options), [&, i] {
            TaskScope scope(tasks[i], "spin", options.cpu_of(i));
            const Limit limit(options);
            volatile uint64_t spins = 0;
            while (!limit.reached(spins / kSpinsPerClock)) {
                for (uint64_t j = 0; j < kSpinsPerClock; ++j) {
                    spins = spins + 1;
                }
            }
            scope.finish(spins / kSpinsPerClock, 0);
        });
    }
    announce(options);
    for (Worker& worker : workers) {
        worker.join();
    }

    Report report("spin");
    report.add("count", tasks.sum(&TaskTruth::operations));
    report.add("run_queue_wait_ns", tasks.sum(&TaskTruth::elapsed_ns) - tasks.sum(&TaskTruth::cpu_ns));
    report.add(tasks);
    return report;
}

}  // namespace sonde::load
