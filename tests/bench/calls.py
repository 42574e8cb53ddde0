# SPDX-License-Identifier: Apache-2.0
"""Functions of a process that are called at a known rate, and the tools that time them.

A part is a function of one of two programs, calls.c and calls_go/. Tools come and go while the same process runs. No
return probe is ever put on the Go program, which it would crash: there sonde is compared with empty programs only.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import NotRun, Tool, sonde_calls
from workloads import FIRST, Sample, Workload, run

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "clients"))
import go_build  # noqa: E402

GO_VERSION = "1.26.8"
CALLS_PER_SEC = 10_000  # of both programs; sonde lets go of what is called more than twice as often
MIN_ROUNDS = 7

# Part -> (language, function).
PARTS = {
    "calls-c-framed": ("c", "framed"), "calls-c-leaf": ("c", "leaf"), "calls-c-jumps": ("c", "jumps"),
    "calls-go-framed": ("go", "main.framed"), "calls-go-leaf": ("go", "main.leaf"),
}  # fmt: skip

TIME_CALLS = """BEGIN {{ printf("tracing\\n"); }}
uprobe:{0} {{ @start[tid] = nsecs; }}
uretprobe:{0} /@start[tid]/ {{ @nsecs = hist(nsecs - @start[tid]); delete(@start[tid]); }}
END {{ clear(@start); }}"""


@dataclass(frozen=True)
class Sites:
    """Where sonde probes a function: offsets in the program's file."""

    begin: int
    ends: tuple  # empty: a return probe
    function: int
    is_begin_emulated: bool

    def __str__(self):
        begin = "emulated" if self.is_begin_emulated else "single-stepped"
        ends = "single-stepped" if self.ends else "a return probe"
        return f"entry {begin}, {len(self.ends) or 'all'} return{'s' if len(self.ends) != 1 else ''}: {ends}"


class Program:
    """Started with a pipe to each end."""

    def __init__(self, language, path):
        self.language = language
        self.path = str(path)
        cpu = str(max(os.sched_getaffinity(0)))
        self.process = subprocess.Popen([*FIRST, "taskset", "--cpu-list", cpu, self.path], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise NotRun(f"{self.path} ended with status {self.process.wait()}")
        return line

    def run(self, function, seconds):
        print(function, round(seconds * CALLS_PER_SEC), file=self.process.stdin, flush=True)
        answer = json.loads(self._answer())
        return Sample(answer["calls"], answer["ns_per_call"], answer["ns_per_call"])

    def sites(self, function, build_dir):
        """As choose_sites() of userspace/app/call_targets.cpp chooses them."""
        report = json.loads(run([f"{build_dir}/sonde", "symbols", str(self.process.pid), function, "--sites",
                                 "--output", "json"]))  # fmt: skip
        found = report["functions"][0]
        if "entry" not in found:
            raise NotRun(f"sonde has no places for its probes: {found.get('no_sites')}")
        returns = [found["offset"] + site["offset"] for site in found["returns"]]
        if found["tail_jumps"] or found["indirect_jumps"]:
            returns = []
        if self.language == "go" and not returns:
            raise NotRun("a function of Go without returns of its own")
        return Sites(found["offset"] + found["entry"]["offset"], tuple(returns), found["offset"],
                     found["entry"]["emulated"])  # fmt: skip

    def end(self):
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def started(language, build_dir):
    program = Program(language, go_program(build_dir) if language == "go" else build_dir / "sonde-bench-calls")
    try:
        yield program
    finally:
        program.end()


def go_program(build_dir):
    goroot = go_build.toolchain(GO_VERSION)
    if goroot is None:
        raise NotRun(f"Go {GO_VERSION} cannot be had")
    path = build_dir.resolve() / "bench-go" / "calls"
    path.parent.mkdir(exist_ok=True)
    go_build.build(goroot, HERE / "calls_go", path, ["-trimpath", "-ldflags", "-s -w"])
    return path


def workload(part, program):
    _, function = PARTS[part]
    return Workload(part, "calls", "cpu_ns", lambda seconds: program.run(function, seconds))


def check(tool, running, sample):
    """sonde must have timed each call; it lets go of functions that cost a process much."""
    if tool.name != "sonde":
        return
    document = json.loads(running.printed)
    count = sum(histogram["count"] for histogram in document["histograms"])
    if count != sample.operations:
        said = "; ".join(probe["reason"] for probe in document["probes"] if probe.get("reason"))
        raise NotRun(f"it timed {count} of {sample.operations} calls: {said or 'without a reason'}")


def empty_pair(build_dir, name, pid, sites, *options):
    ends = ["--ends", ",".join(map(str, sites.ends))] if sites.ends else ["--return-of", str(sites.function)]
    command = (f"{build_dir}/sonde-bench-empty", *options, "--pid", str(pid), "--begin", str(sites.begin), *ends)
    return Tool(name, command, "ready", stream="stdout")


def clock(part, program, build_dir):
    """As that of tools.py, at the entry and at the returns."""
    sites = program.sites(PARTS[part][1], build_dir)
    return empty_pair(build_dir, "one clock reading", program.process.pid, sites, "--clock")


def tools(part, program, build_dir):
    """The limit first."""
    language, function = PARTS[part]
    pid = program.process.pid
    sites = program.sites(function, build_dir)
    ours = [
        empty_pair(build_dir, "empty", pid, sites),
        sonde_calls(build_dir, "--budget", "0", "--uprobe", f"{pid}:{function}"),
    ]
    if language != "c":
        return ours
    script = TIME_CALLS.format(f"{program.path}:{function}")
    return [
        *ours,
        Tool("funclatency", ("funclatency", "-p", str(pid), f":{function}"), "Tracing"),
        Tool("bpftrace", ("bpftrace", "-p", str(pid), "-e", script), "tracing", needs_tracefs=True),
    ]
