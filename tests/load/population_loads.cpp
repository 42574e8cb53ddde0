// SPDX-License-Identifier: Apache-2.0
//
// Loads made of many tasks which do little: they show what a tracer spends per task, not per event.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "tests/load/loads.h"

namespace sonde::load {
namespace {

constexpr uint64_t kMostTasks = 20'000;
constexpr size_t kThreadStackBytes = 64 << 10;

// Sleeps most of the time: wakes every `period_ns`, at a phase that differs between tasks.
void doze(TaskTruth& truth, std::string_view role, size_t task, uint64_t period_ns, uint64_t end_ns)
{
    constexpr size_t kPhases = 97;
    TaskScope scope(truth, role, -1);
    uint64_t wakes = 0;
    uint64_t next_ns = now_ns() + period_ns * (task % kPhases) / kPhases;
    while (!stop_requested() && now_ns() < end_ns) {
        sleep_until_ns(std::min(next_ns, end_ns));
        next_ns += period_ns;
        ++wakes;
    }
    scope.finish(wakes, 0);
}

// The ids only: a report of thousands of tasks would be too long.
Report population_report(const std::string& load, TaskTable& tasks, int TaskTruth::*id, const std::string& id_name)
{
    Report report(load);
    report.add("count", tasks.size());
    report.add("wakes", tasks.sum(&TaskTruth::operations));
    report.add("cpu_ns", tasks.sum(&TaskTruth::cpu_ns));
    report.add("voluntary_switches", tasks.sum(&TaskTruth::voluntary));
    report.add("involuntary_switches", tasks.sum(&TaskTruth::involuntary));
    std::string list;
    for (size_t i = 0; i < tasks.size(); ++i) {
        list += (i == 0 ? "" : ",") + std::to_string(tasks[i].*id);
    }
    report.add_raw(id_name, "[" + list + "]");
    return report;
}

uint64_t end_of(const Options& options)
{
    return now_ns() + static_cast<uint64_t>(options.seconds(10) * 1e9);
}

struct DozingThread {
    pthread_t handle;
    TaskTruth* truth;
    size_t task;
    uint64_t period_ns;
    uint64_t end_ns;
};

void* run_dozing_thread(void* argument)
{
    auto* self = static_cast<DozingThread*>(argument);
    doze(*self->truth, "thread", self->task, self->period_ns, self->end_ns);
    return nullptr;
}

}  // namespace

// Starts a child that exits at once, --rate times per second. The samples are from fork until it is reaped.
Report run_forks(const Options& options)
{
    const uint64_t period_ns = kNsPerSec / options.number("rate", 100, 1, 100'000);
    TaskTable tasks(1);
    announce(options);
    TaskScope scope(tasks[0], "parent", options.cpu_of(0));
    const Limit limit(options);
    Samples lives;
    uint64_t late = 0;
    uint64_t next_ns = now_ns();
    while (!limit.reached(lives.count())) {
        const uint64_t start_ns = now_ns();
        Worker child(Worker::Kind::kProcess, "load-fork", [] {});
        child.join();
        const uint64_t end_ns = now_ns();
        lives.add(end_ns - start_ns);
        next_ns += period_ns;
        if (next_ns > end_ns) {
            sleep_until_ns(std::min(next_ns, end_ns));
        } else {
            ++late;
            next_ns = end_ns;
        }
    }
    scope.finish(lives.count(), 0);
    Report report("forks");
    report.add("count", lives.count());
    report.add("late", late);
    report.add("latency_ns", lives);
    report.add(tasks);
    return report;
}

Report run_threads(const Options& options)
{
    const uint64_t end_ns = end_of(options);
    const uint64_t period_ns = options.number("period-ms", 500, 1, 100'000) * 1'000'000;
    TaskTable tasks(options.number("count", 100, 1, kMostTasks));
    std::vector<DozingThread> threads(tasks.size());
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kThreadStackBytes);
    for (size_t i = 0; i < threads.size(); ++i) {
        threads[i] = {{}, &tasks[i], i, period_ns, end_ns};
        errno = ::pthread_create(&threads[i].handle, &attributes, run_dozing_thread, &threads[i]);
        check(-errno, "pthread_create");
    }
    pthread_attr_destroy(&attributes);
    announce(options);
    for (const DozingThread& thread : threads) {
        ::pthread_join(thread.handle, nullptr);
    }
    return population_report("threads", tasks, &TaskTruth::tid, "tids");
}

Report run_procs(const Options& options)
{
    const uint64_t end_ns = end_of(options);
    const uint64_t period_ns = options.number("period-ms", 100, 1, 100'000) * 1'000'000;
    TaskTable tasks(options.number("count", 100, 1, kMostTasks));
    std::vector<Worker> children;
    for (size_t i = 0; i < tasks.size(); ++i) {
        children.emplace_back(Worker::Kind::kProcess, comm_of(options),
                              [&, i] { doze(tasks[i], "process", i, period_ns, end_ns); });
    }
    announce(options);
    for (Worker& child : children) {
        child.join();
    }
    return population_report("procs", tasks, &TaskTruth::pid, "pids");
}

}  // namespace sonde::load
