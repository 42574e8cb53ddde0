#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs sonde for long under churn, and checks that it neither leaks nor lies.

Several traces run all the time: of the host by interval, of the host as a whole, of a cgroup, as text. Meanwhile, in
rounds, processes are born and end, a thousand per second; cgroups too; TCP connections, thousands per second, some
refused; for a part of it, thousands of threads exist; and a command that forks is followed. Each load keeps its own
account.

Checked at every document: it is valid, and nothing that is counted goes down. At the end: memory, descriptors, BPF
programs, links and maps have not grown; what the loads did is what the traces counted, give or take what they say
was discarded; names of the dead are not shown any more, and their slots and chunks are free again.

Exit status: 0 passed, 1 failed, 77 skipped (not root).
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # nothing generated into the source tree

from kernel_maps import SchedPools
from traces import ROOT, Trace

SKIPPED = 77
PREFIX = "soak"  # of the names of all processes that the loads start
ROUND_SEC = 20
FORKS_PER_SEC = 1000
CGROUPS_PER_SEC = 50
CONNECTS_PER_SEC = 1000  # of each of four loads; refused ones half as many
THREADS = 28_000
FOLLOWED_FORKS_PER_SEC = 200

WARM_UP = 0.25  # of the time: until then memory may grow
RSS_GROWTH = 1.10
RSS_SLACK = 2 << 20  # bytes: what malloc keeps after the largest document
CPU_SHARE = 0.50  # of one CPU, for the trace by interval
# The kernel leaves out a switch in some ten thousand, also the last one of a task: then nothing tells that there was one.
UNREPORTED = 1 / 2000
FEW = 5
# exec in a second thread: the thread goes on under the pid of the leader, whose last switch may still be to come. So it
# was for 14 to 24% of them where this was written.
LOST_PER_EXEC_IN_THREAD = 0.5
MOST_OTHER = 0.01
LINGERING = 5  # documents that may show a name after the first one, for lives of milliseconds
LATER_PROCESSES = 60  # that others on this machine start meanwhile

RUN_QUEUE = "sonde_sched_runq_latency_seconds"
ON_CPU = "sonde_sched_oncpu_seconds"
OFF_CPU = "sonde_sched_offcpu_seconds"


class Load:
    """A run of sonde-load in the background."""

    def __init__(self, program, name, *arguments, comm=PREFIX):
        self.name = name
        # Files: the account of thousands of threads is longer than a pipe holds.
        self._out, self._err = (tempfile.TemporaryFile("w+") for _ in range(2))
        self.process = subprocess.Popen([str(program), name, "--comm", comm, *map(str, arguments)], stdout=self._out,
                                        stderr=self._err, stdin=subprocess.DEVNULL)

    def _read(self, file):
        # The descriptor is shared with the load, which goes on writing where it stands.
        return os.pread(file.fileno(), 1 << 24, 0).decode()

    def wait_ready(self):
        while not self._read(self._out).startswith("ready\n"):
            if self.process.poll() is not None:
                raise RuntimeError(f"load {self.name} is not ready: {self._read(self._err).strip()}")
            time.sleep(0.1)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)

    def report(self):
        if self.process.wait(180) != 0:
            raise RuntimeError(f"load {self.name} failed: {self._read(self._err).strip()}")
        return json.loads(self._read(self._out).splitlines()[-1])


class Truth:
    """What the loads did, added up over all rounds."""

    def __init__(self):
        self.totals = {}

    def add(self, load, report):
        for key, value in report.items():
            if isinstance(value, int) and not isinstance(value, bool):
                self.totals[(load, key)] = self.totals.get((load, key), 0) + value

    def __call__(self, load, key="count"):
        return self.totals.get((load, key), 0)


class Checks:
    """Prints each check as a line; remembers the failed ones."""

    def __init__(self):
        self.failed = []

    def that(self, holds, what):
        print(f"  {'ok    ' if holds else 'FAILED'} {what}", flush=True)
        if not holds:
            self.failed.append(what)

    def near(self, counted, truth, allowance, what):
        self.that(abs(counted - truth) <= allowance,
                  f"{what}: {counted:,} counted, {truth:,} true, {counted - truth:+,} (allowed {int(allowance):,})")


def cgroup_root():
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return Path(fields[1])
    raise SystemExit("soak.py: no cgroup v2 is mounted here")


@contextlib.contextmanager
def cgroup_folder():
    folder = cgroup_root() / f"sonde-soak-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        for group in (*folder.glob("group-*"), folder):
            with contextlib.suppress(OSError):
                group.rmdir()


def free_ports(count):
    """Below the ephemeral ones, so that no connection of somebody else takes them."""
    used = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            used.add(int(line.split()[1].rpartition(":")[2], 16))
    first = 20000 + os.getpid() % 10000
    return [port for port in range(first, first + 1000) if port not in used][:count]


def room_for_threads(wanted):
    """As many as the machine allows beside what is there, and beside the forks."""
    limits = [int(Path(f"/proc/sys/kernel/{name}").read_text()) for name in ("pid_max", "threads-max")]
    alive = int(Path("/proc/loadavg").read_text().split()[3].split("/")[1])
    return min(wanted, min(limits) - alive - 3000) // 2 * 2


class Soak:
    def __init__(self, options, folder, tmp):
        self.options = options
        self.folder = folder
        self.load = options.build_dir / "sonde-load"
        self.sonde = options.build_dir / "sonde"
        self.ports = dict(zip(("v4", "v6", "refused4", "refused6"), free_ports(4)))
        self.exec_target = tmp / f"{PREFIX}-exec"  # exec gives the name of the file
        self.exec_target.symlink_to("/bin/true")
        self.truth = Truth()
        self.checks = Checks()
        self.rounds = max(2, round(options.seconds / ROUND_SEC))
        self.round_sec = options.seconds / self.rounds
        self.most_slots = 0
        self.loads_started = 0
        self.followed = []
        self.followed_births = 0

    def start(self, name, *arguments, **keywords):
        return Load(self.load, name, "--seconds", f"{self.round_sec:.1f}", *arguments, **keywords)

    def start_threads(self):
        """Thousands that sleep. They exist before the churn begins: beside it, their creation would take minutes."""
        threads = room_for_threads(THREADS)
        print(f"  {threads:,} threads" + (f": the limits of this machine leave no room for {THREADS:,}"
                                          if threads < THREADS else ""), flush=True)
        loads = {f"threads{half}": Load(self.load, "threads", "--count", threads // 2, "--seconds", 110, "--period-ms",
                                        4000, "--ready", comm=PREFIX + "-many") for half in range(2)}
        for load in loads.values():
            load.wait_ready()
        return loads

    def start_round(self, number):
        loads = self.start_threads() if number in (0, self.rounds // 2) else {}  # one time in each half
        loads |= {
            "churn": self.start("churn", "--rate", FORKS_PER_SEC, "--exec", self.exec_target),
            "cgroups": self.start("cgroups", "--rate", CGROUPS_PER_SEC, "--cgroup", self.folder, "--outside",
                                  cgroup_root(), comm=PREFIX + "-cg"),
        }
        for name, port in self.ports.items():
            more = ["--ipv6"] * name.endswith("6") + ["--refused"] * name.startswith("refused")
            rate = CONNECTS_PER_SEC // 2 if name.startswith("refused") else CONNECTS_PER_SEC
            loads[name] = self.start("tcp-connect", "--port", port, "--rate", rate, *more, comm=PREFIX + "-tcp")
        return loads

    def follow_a_command(self):
        """A trace of its own, of a command that forks; and the account of that, which must not come on its stdout."""
        account = self.exec_target.parent / "account"
        load = [self.load, "churn", "--rate", FOLLOWED_FORKS_PER_SEC, "--exec", self.exec_target, "--comm", PREFIX,
                "--seconds", f"{self.round_sec / 2:.1f}"]
        with Trace("followed", self.sonde, ["--interval", "1s", "--probes", "sched", "--", "sh", "-c",
                                            f'exec "$@" >{account}', "sh", *map(str, load)]) as trace:
            trace.finish(send=None)
        return trace, json.loads(account.read_text())["tasks_born"]

    def run(self):
        interval = ["--interval", f"{self.options.interval}s"]
        with contextlib.ExitStack() as stack:
            self.traces = [stack.enter_context(trace) for trace in (
                Trace("host", self.sonde, interval),
                Trace("total", self.sonde, ["--task-store", "storage"]),
                Trace("cgroup", self.sonde, [*interval, "--cgroup", str(self.folder), "--task-store", "storage"]),
                Trace("text", self.sonde, interval, output="text"),
            )]
            host, total, *_ = self.traces
            self.pools = {trace.name: SchedPools(trace.process.pid) for trace in (host, total)}
            self.slots_before = {name: len(pools.slots_in_use()) for name, pools in self.pools.items()}
            begin = time.monotonic()
            for number in range(self.rounds):
                self.run_round(number, begin)
            time.sleep(3)  # ended processes give their slots back within a second
            self.slots_after = {name: len(pools.slots_in_use()) for name, pools in self.pools.items()}
            # Others on this machine start and end processes meanwhile: what counts is a slot that stays.
            dead = {name: pools.slots_of_the_dead().items() for name, pools in self.pools.items()}
            time.sleep(2)
            self.dead = {name: len(dead[name] & pools.slots_of_the_dead().items()) for name, pools in self.pools.items()}
            total.sample(0)
            for trace in self.traces:
                trace.finish()

    def run_round(self, number, begin):
        loads = self.start_round(number)
        followed = self.follow_a_command() if number in (0, self.rounds // 2) else None
        if followed:
            self.check_followed(*followed)
        for name in ("threads0", "threads1"):
            if name in loads:
                loads[name].stop()
        while any(load.process.poll() is None for load in loads.values()):
            self.most_slots = max(self.most_slots, len(self.pools["host"].slots_in_use()))
            time.sleep(0.5)
        self.loads_started += len(loads)
        for name, load in loads.items():
            self.truth.add(name, load.report())
        self.traces[1].sample(0)  # prints nothing by itself
        newest = {trace.name: trace.samples[-1] for trace in self.traces if trace.samples}
        print(f"{time.monotonic() - begin:6.0f} s  " + "  ".join(
            f"{name}: {sample.rss / 1e6:.1f} MB, {sample.fds} fds, {sample.cpu_sec:.1f} s CPU, {sample.series} series"
            for name, sample in newest.items()), flush=True)

    # ---- checks

    def check_births(self, account, born, loads, whose, what):
        """Every task that is born shows as a wait for the CPU that no block precedes; each wait ends in a slice."""
        woken = account.count(RUN_QUEUE, "woken", whose)
        blocks = account.count(OFF_CPU, None, whose)
        # A load's own birth shows under the name of the program that started it, or under its own.
        allowance = account.discards("on-CPU time") + born * UNREPORTED + FEW + 2 * loads
        self.checks.near(woken - blocks, born, allowance, f"{what}: tasks born")
        self.checks.near(account.count(ON_CPU, None, whose), account.count(RUN_QUEUE, None, whose), allowance,
                         f"{what}: slices, to waits for a CPU")

    def check_followed(self, trace, born):
        self.note_failures(trace)
        foreign = {name for name in trace.account.names if not name.startswith(PREFIX)} - {"sh"}
        self.checks.that(not foreign, f"followed: processes that the command did not start: {foreign or 'none'}")
        self.followed_births += born
        self.followed.append(trace)
        self.check_births(trace.account, born, 1, ("own",), "followed")

    def note_failures(self, trace):
        for failure in trace.failures[:10]:
            self.checks.that(False, failure)

    def check_connections(self, trace):
        account = trace.account
        allowance = account.discards("TCP connect latency") + account.discards("TCP accept latency")
        for name, port in self.ports.items():
            metric = "sonde_tcp_connect_failures_total" if name.startswith("refused") else "sonde_tcp_connect_latency_seconds"
            self.checks.near(account.connections[(metric, str(port))], self.truth(name), allowance,
                             f"{trace.name}: {'refused' if name.startswith('refused') else 'connects'} on {name}")
            if not name.startswith("refused"):
                self.checks.near(account.connections[("sonde_tcp_accept_latency_seconds", str(port))],
                                 self.truth(name), allowance, f"{trace.name}: accepts on {name}")

    def check_resources(self, trace):
        end = trace.samples[-1].at
        steady = [s for s in trace.samples if s.at > trace.start_sec + WARM_UP * (end - trace.start_sec)]
        middle = trace.start_sec + (1 + WARM_UP) / 2 * (end - trace.start_sec)
        first, second = [[s for s in steady if (s.at < middle) == half] for half in (True, False)]
        most = [max(s.rss for s in half) for half in (first, second)]
        self.checks.that(most[1] <= most[0] * RSS_GROWTH + RSS_SLACK,
                         f"{trace.name}: memory {most[0] / 1e6:.1f} MB in the first half after the warm-up, "
                         f"{most[1] / 1e6:.1f} MB in the second")
        # One more while a document is made: /proc is read.
        fds = [max(s.fds for s in half) for half in (first, second)]
        self.checks.that(fds[1] <= fds[0], f"{trace.name}: {fds[0]} descriptors, then {fds[1]}")
        held = {tuple(s.held.items()) for s in trace.samples}
        self.checks.that(len(held) == 1, f"{trace.name}: holds all the time " +
                         " or ".join(", ".join(f"{n:,} {what}" for what, n in each) for each in held))
        cpu = trace.samples[-1].cpu_sec / (end - trace.start_sec)
        self.checks.that(cpu <= CPU_SHARE, f"{trace.name}: {100 * cpu:.1f}% of a CPU in user space and system calls")

    def check_names(self, trace):
        late = {name: documents for name, documents in trace.account.seen.items()
                if re.fullmatch(PREFIX + "-[0-9a-f]{8}", name) and documents[-1] - documents[0] > LINGERING}
        fresh = sum(re.fullmatch(PREFIX + "-[0-9a-f]{8}", name) is not None for name in trace.account.seen)
        self.checks.that(not late, f"{trace.name}: of {fresh:,} names of short-lived processes, {len(late)} are shown "
                         f"after their end {list(late.items())[:3] if late else ''}")
        # Two lives in seven end under the name of the program that they exec.
        self.checks.that(fresh >= self.truth("churn") * 0.65, f"{trace.name}: {fresh:,} fresh names shown")

    def check_pools(self, born):
        for name, pools in self.pools.items():
            self.checks.that(self.slots_after[name] <= self.slots_before[name] + self.dead[name] + LATER_PROCESSES,
                             f"{name}: {self.slots_before[name]} slots before, {self.slots_after[name]} after, in the "
                             f"trace of the host at most {self.most_slots}")
            self.checks.that(self.dead[name] <= born * UNREPORTED / 4 + FEW,
                             f"{name}: {self.dead[name]} slots are of processes that have ended")
            leaks = pools.leaks()
            self.checks.that(not leaks, f"{name}: slots and chunks are in use or free; else: {'; '.join(leaks) or 'none'}")

    def check_all(self):
        host, total, cgroup, text = self.traces
        truth = self.truth
        print(f"loads: {truth('churn'):,} forks ({truth('churn', 'execs'):,} execs, "
              f"{truth('churn', 'execs_in_thread'):,} of them in a second thread, {truth('churn', 'late'):,} late), "
              f"{truth('cgroups'):,} cgroups, {truth('v4') + truth('v6'):,} connections, "
              f"{truth('refused4') + truth('refused6'):,} refused")
        for trace in self.traces:
            self.note_failures(trace)
            self.check_resources(trace)
        born = (truth("churn", "tasks_born") + truth("cgroups") + truth("threads0") + truth("threads1") +
                self.followed_births)
        for trace in (host, total):
            self.check_connections(trace)
            # A trace without interval keeps 10,000 names.
            self.check_births(trace.account, born, self.loads_started, ("own", "other"), trace.name)
        self.check_names(host)
        # Where thousands of threads take the CPU from sonde for seconds, ended processes keep their slots so long.
        other = host.account.count(ON_CPU, None, ("other",))
        said = any("too many processes" in reason for reason in host.account.reasons)
        self.checks.that(other <= host.account.count(ON_CPU) * MOST_OTHER and said >= (other > 0),
                         f"host: {other:,} slices under other, which was {'said' if said else 'not said'}")
        allowance = max(0, cgroup.account.discards("off-CPU time") - truth("cgroups"))  # each enters while it runs
        self.checks.near(cgroup.account.events[(OFF_CPU, "sleep", PREFIX + "-cg")], truth("cgroups", "inside"),
                         allowance + truth("cgroups", "inside") * UNREPORTED + FEW, "cgroup: sleeps inside")
        foreign = {name for name in cgroup.account.names if name != PREFIX + "-cg"}
        self.checks.that(not foreign, f"cgroup: processes that were never inside: {foreign or 'none'}")
        self.check_pools(born)
        self.checks.that(text.text_tables >= self.options.seconds / self.options.interval - 2,
                         f"text: {text.text_tables} tables")
        for trace in (host, total, cgroup, *self.followed):
            unreported = trace.account.discarded[("on-CPU time", "event not reported by the kernel")]
            slices = trace.account.count(ON_CPU)
            most = 2 * slices * UNREPORTED + truth("churn", "execs_in_thread") * LOST_PER_EXEC_IN_THREAD + FEW
            self.checks.that(unreported <= most, f"{trace.name}: {unreported:,} switches discarded as not reported, "
                             f"{slices:,} slices counted (allowed {most:,.0f})")
            for (measurement, reason), n in sorted(trace.account.discarded.items()):
                if n and measurement in ("on-CPU time", "TCP connect latency"):
                    print(f"  {trace.name}: discarded, {measurement}: {reason} {n:,}")
            for reason in sorted(trace.account.reasons):
                if ": ok" not in reason:
                    print(f"  {trace.name}: {reason}")
        return not self.checks.failed


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, help="how long (default: 60)")
    length.add_argument("--minutes", type=float)
    length.add_argument("--hours", type=float)
    parser.add_argument("--interval", type=float, default=1, metavar="SECONDS", help="of the traces (default: 1)")
    parser.add_argument("--build-dir", type=Path, default=ROOT / "build")
    options = parser.parse_args()
    options.seconds = options.seconds or 60 * (options.minutes or 60 * (options.hours or 1 / 60))
    if options.seconds < 30:
        parser.error("less than 30 s is no soak")
    return options


def main():
    options = parse_arguments()
    if os.geteuid() != 0:
        print("skipped: needs root")
        return SKIPPED
    with cgroup_folder() as folder, tempfile.TemporaryDirectory() as tmp:
        soak = Soak(options, folder, Path(tmp))
        print(f"{options.seconds:.0f} s in {soak.rounds} rounds", flush=True)
        soak.run()
        passed = soak.check_all()
    print("passed" if passed else f"FAILED: {len(soak.checks.failed)} checks")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
