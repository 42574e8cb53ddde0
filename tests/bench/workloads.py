# SPDX-License-Identifier: Apache-2.0
"""The workloads: each runs for some seconds and tells what one operation cost."""

import json
import os
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import NotRun

# Before everything else on the host, so that other work disturbs less.
FIRST = ["nice", "-n", "-20"]
DEVICE_BYTES = 256 << 20


@dataclass(frozen=True)
class Sample:
    operations: int
    cpu_ns: float  # per operation, of all tasks of the workload
    wall_ns: float  # per operation


def run(command):
    """The output of a command; NotRun with its own words if it is missing or fails."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise NotRun(f"{error.filename} not found") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or ["nothing"]
        name = next(word for word in command if word not in FIRST)
        raise NotRun(f"{name}: exit status {error.returncode}: {said[-1]}") from error


def run_load(build_dir, seconds, *arguments):
    command = [*FIRST, f"{build_dir}/sonde-load", *arguments, "--seconds", str(seconds)]
    return json.loads(run(command))


def run_pinned(build_dir, seconds, *arguments):
    report = run_load(build_dir, seconds, *arguments)
    return Sample(report["count"], report["cpu_ns"] / report["count"], report["wall_ns_per_op"])


def run_mixed(build_dir, seconds, device, cpu):
    """One operation is one of each part: a round trip, a read, a transaction, a handover."""
    parts = run_load(build_dir, seconds, "mixed", "--file", device, "--cpu", cpu)["parts"]
    cpu_ns = sum(part["cpu_ns"] / part["count"] for part in parts)
    wall_ns = sum(part["tasks"][0]["elapsed_ns"] / part["count"] for part in parts)
    return Sample(min(part["count"] for part in parts), cpu_ns, wall_ns)


def run_fio(seconds, device, cpu, depth):
    command = [
        *FIRST, "fio", "--name=bench", f"--filename={device}", "--readonly", "--rw=randread", "--bs=4k", "--direct=1",
        "--ioengine=libaio", f"--iodepth={depth}", "--randseed=1", "--time_based", f"--runtime={int(seconds * 1000)}ms",
        "--thread", f"--cpus_allowed={cpu}", "--output-format=json",
    ]  # fmt: skip
    job = json.loads(run(command))["jobs"][0]
    reads = job["read"]["total_ios"]
    wall_ns = job["read"]["runtime"] * 1e6 / reads
    return Sample(reads, wall_ns * (job["usr_cpu"] + job["sys_cpu"]) / 100, wall_ns)


@contextmanager
def loop_device():
    """A loop device over a file in memory: a disk of even speed that no other process uses."""
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.NamedTemporaryFile(prefix="sonde-bench-", dir=folder) as file:
        for _ in range(DEVICE_BYTES >> 20):
            file.write(os.urandom(1 << 20))
        file.flush()
        device = run(["losetup", "--find", "--show", "--sector-size", "4096", file.name]).strip()
        try:
            yield device
        finally:
            run(["losetup", "--detach", device])


@contextmanager
def idle_processes(build_dir, count, seconds, period_ms=100):
    """Keeps `count` processes alive which each wake every `period_ms`."""
    command = [f"{build_dir}/sonde-load", "procs", "--count", str(count), "--period-ms", str(period_ms), "--seconds",
               str(seconds), "--ready"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.communicate()


@dataclass(frozen=True)
class Workload:
    name: str
    probes: str  # of sonde, that see it
    cost: str  # the figure that slow-downs are made of: "cpu_ns", or "wall_ns" where kernel threads do the work
    run: object  # seconds -> Sample


def all_workloads(build_dir, device):
    """`device`: a function that gives the path of a block device to read, or raises NotRun."""
    cpu = str(max(os.sched_getaffinity(0)))
    other = str(min(os.sched_getaffinity(0)))

    def pinned(*arguments):
        return lambda seconds: run_pinned(build_dir, seconds, *arguments)

    return [
        Workload("sched-pipe", "sched", "cpu_ns", pinned("pipe", "--cpu", cpu)),
        Workload("sched-pipe-2cpu", "sched", "cpu_ns", pinned("pipe", "--cpus", f"{cpu},{other}")),
        Workload("sched-64-tasks", "sched", "cpu_ns", pinned("pipe", "--pairs", "32", "--cpu", cpu)),
        Workload("block-qd1", "block", "wall_ns", lambda seconds: run_fio(seconds, device(), cpu, 1)),
        Workload("block-qd32", "block", "wall_ns", lambda seconds: run_fio(seconds, device(), cpu, 32)),
        Workload("tcp-rr", "tcp", "cpu_ns", pinned("tcp-rr", "--cpu", cpu)),
        Workload("tcp-bulk", "tcp", "cpu_ns", pinned("tcp-rr", "--size", "262144", "--cpu", cpu)),
        Workload("mixed", "sched,block,tcp", "cpu_ns", lambda seconds: run_mixed(build_dir, seconds, device(), cpu)),
    ]


@contextmanager
def program_statistics():
    """Makes the kernel count runs and run time of BPF programs; the setting from before is put back."""
    path = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = path.read_text()
    path.write_text("1")
    try:
        yield
    finally:
        path.write_text(before)
