# SPDX-License-Identifier: Apache-2.0
"""Scheduler: waits of known length, and the kernel's accounts of CPU time and switches."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from cgroup import cpu_quota
from loads import be_first, be_preferred, fresh_name, run_load
from rows import BUCKET_ERROR, within
from tracing import Trace

RUNQ, ONCPU, OFFCPU = "sched_runq_latency", "sched_oncpu", "sched_offcpu"


def two_on_one_cpu(setting):
    """Two threads that compute wait for each other: what they do not run, they wait."""
    name = fresh_name()
    with Trace(setting.sonde, "--probes", "sched", "--comm", name) as trace:
        account = run_load(setting, "spin", "--threads", 2, "--cpu", 0, "--seconds", 3, "--comm", name,
                           prepare=be_preferred)  # fmt: skip
    scenario = "two spinning threads on one CPU"
    yield within(scenario, "run-queue latency, sum", account["run_queue_wait_ns"], "clock - CPU time",
                 trace.histogram(RUNQ, process=name).sum_ns, 0.01, 10_000_000)  # fmt: skip
    yield within(scenario, "on-CPU time, sum", account["cpu_ns"], "getrusage",
                 trace.histogram(ONCPU, process=name).sum_ns, 0.01, 10_000_000)  # fmt: skip
    yield within(scenario, "run-queue latency, woken", 0, "nothing sleeps",
                 trace.histogram(RUNQ, process=name, cause="woken").sum_ns, 0, 10_000_000)  # fmt: skip


def spin_until(end_ns):
    while time.monotonic_ns() < end_ns:
        pass


@contextlib.contextmanager
def blocker(cpu, count, length_ns):
    """A real-time process that takes `cpu` away `count` times for `length_ns`, with at least as much time between."""
    child = os.fork()
    if child == 0:
        try:
            os.sched_setaffinity(0, {cpu})
            be_first()
            for _ in range(count):
                time.sleep(length_ns / 1e9)
                spin_until(time.monotonic_ns() + length_ns)
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.waitpid(child, 0)


def a_real_time_task(setting):
    """A SCHED_FIFO task takes the CPU of a spinning one for 20 ms, 50 times."""
    name, count, length_ns = fresh_name(), 50, 20_000_000
    with Trace(setting.sonde, "--probes", "sched", "--comm", name) as trace:
        with subprocess.Popen([setting.load, "spin", "--threads", "1", "--cpu", "0", "--seconds", "30", "--comm", name,
                               "--ready"], stdout=subprocess.PIPE, preexec_fn=be_preferred) as victim:  # fmt: skip
            victim.stdout.readline()
            with blocker(0, count, length_ns):
                pass
            victim.send_signal(signal.SIGTERM)
            victim.stdout.read()
    waits = trace.histogram(RUNQ, process=name, cause="preempted")
    scenario = "a SCHED_FIFO task takes the CPU for 20 ms, 50 times"
    # To the last one; but another process of a busy host may make one more, so that it may be tried again.
    yield within(scenario, "waits of more than 15 ms", count, "what it does", waits.above(0.75 * length_ns).count, 0, 0.5,
                 unit="")  # fmt: skip
    late_ns = 2_000_000 if setting.slow else 300_000  # of the timer that wakes it, and for the switch
    for what, q in (("p50", 0.5), ("p90", 0.9)):
        # Of all waits: the short ones are by timers and kernel threads, and there may be some.
        yield within(scenario, f"their {what}", length_ns, "what it does",
                     waits.above(0.75 * length_ns).quantile_ns(q), BUCKET_ERROR, late_ns)  # fmt: skip


def a_cpu_quota(setting):
    """20 ms of CPU time in each 50 ms."""
    name = fresh_name()
    with cpu_quota(20_000, 50_000) as group, Trace(setting.sonde, "--probes", "sched", "--comm", name) as trace:
        account = run_load(setting, "spin", "--threads", 1, "--cpu", 0, "--seconds", 4, "--comm", name,
                           prepare=group.enter)  # fmt: skip
        throttled_ns = group.throttled_ns()
    scenario = "a CPU quota of 40%"
    throttled = trace.histogram(RUNQ, process=name, cause="throttled").sum_ns
    yield within(scenario, "throttled, sum", throttled_ns, "cpu.stat", throttled, 0.03, 20_000_000)
    yield within(scenario, "run-queue latency, sum", account["run_queue_wait_ns"], "clock - CPU time",
                 trace.histogram(RUNQ, process=name).sum_ns, 0.01, 20_000_000)  # fmt: skip


@contextlib.contextmanager
def program_named(name, program):
    """A path to `program` that gives the process, from its first instruction on, that name."""
    with tempfile.TemporaryDirectory(prefix="sonde-truth-") as folder:
        path = os.path.join(folder, name)
        os.symlink(program, path)
        yield path


def switches(setting):
    """Every time that a task gives up its CPU is one off-CPU time, every time that it loses it one wait. Whether the
    last switch of a task, into death, is in the kernel's count depends on who is first, so one per task is open."""
    round_trips = 5_000 if setting.slow else 100_000
    for scenario, tasks, arguments in (
        ("ping-pong of two processes on one CPU", 3, ("pipe", "--cpu", "0", "--count", str(round_trips))),
        ("ping-pong of two threads on two CPUs", 3,
         ("pipe", "--threads", "--cpus", "0,1", "--count", str(round_trips // 4))),
    ):  # fmt: skip
        name = fresh_name()
        with program_named(name, setting.load) as program:
            with Trace(setting.sonde, "--probes", "sched", "--comm", name) as trace:
                pid = os.posix_spawn(program, [program, *arguments, "--comm", name], os.environ,
                                     file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])  # fmt: skip
                _, status, usage = os.wait4(pid, 0)
        if status:
            raise RuntimeError(f"{scenario}: the load failed")
        lost = trace.discarded("run-queue latency")
        for what, truth, source, sonde in (
            ("off-CPU times", usage.ru_nvcsw, "getrusage, ru_nvcsw", trace.histogram(OFFCPU, process=name).count),
            ("waits after preemption", usage.ru_nivcsw, "getrusage, ru_nivcsw",
             trace.histogram(RUNQ, process=name, cause="preempted").count),
        ):  # fmt: skip
            yield within(scenario, what, truth, source, sonde, 0, lost + tasks, unit="")
        yield within(scenario, "discarded", 0, "what it should be", lost, 0, usage.ru_nvcsw / 2000 + 2 * tasks, unit="")


def schedstat_ns(pids):
    """CPU time of all threads of these processes, as the scheduler counts it."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def ten_seconds(setting):
    """Pipe, TCP and futexes at once, all the time: three states together are the wall time of each thread."""
    name = fresh_name()
    loads = (("pipe", "--threads", "--cpu", "0"), ("tcp-rr", "--threads"), ("futex", "--usec", "200"))
    threads = 2 * len(loads)
    with contextlib.ExitStack() as stack:
        for load in loads:
            command = [setting.load, *load, "--seconds", "60", "--comm", name, "--ready"]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(process.terminate)
            process.stdout.readline()
        pids = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if comm_of(pid) == name]
        with Trace(setting.sonde, "--probes", "sched", "--comm", name) as trace:
            before = schedstat_ns(pids)
            time.sleep(10)
            cpu_ns = schedstat_ns(pids) - before
    scenario = "10 s of pipe, TCP and futexes"
    state = {name_: trace.histogram(name_, process=name).sum_ns for name_ in (ONCPU, RUNQ, OFFCPU)}
    wall_ns = threads * trace.document["duration_s"] * 1e9
    yield within(scenario, "on-CPU time, sum", cpu_ns, "/proc/PID/schedstat", state[ONCPU], 0.01)
    yield within(scenario, "all states, sum", wall_ns, f"{threads} threads x time", sum(state.values()), 0.01)


def comm_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:  # it has ended
        return None


SCENARIOS = (two_on_one_cpu, a_real_time_task, a_cpu_quota, switches, ten_seconds)
