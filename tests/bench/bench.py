#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what tracing costs: sonde, next to empty programs, libbpf-tools and bpftrace. See README.md."""

import argparse
import os
import signal
import sys
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path

sys.dont_write_bytecode = True  # nothing generated into the source tree

import calls
import node_client
import postgres
import report
from measures import compare, goals, median_costs, program_costs, spread
from tools import NotRun, RunningTool, BIOLATENCY, RUNQLAT, bpftrace, clock, empty, sonde, start, tools_for
from workloads import all_workloads, idle_processes, loop_device, program_statistics

IN_PROGRAM = {
    "in-program-sched": "sched-64-tasks", "in-program-block": "block-qd1", "in-program-tcp": "tcp-rr",
}  # fmt: skip
# Functions, each of which stands for those that are probed in the same way.
IN_PROGRAM_CALLS = {
    "in-program-calls-c-framed": "calls-c-framed", "in-program-calls-c-jumps": "calls-c-jumps",
    "in-program-calls-go-framed": "calls-go-framed",
}  # fmt: skip
NODE_PARTS = ["node-attach", "node-load"]
OTHER_PARTS = [*IN_PROGRAM, *IN_PROGRAM_CALLS, "start", "memory", *NODE_PARTS]
SHORT = {
    "in-program": [*IN_PROGRAM, *IN_PROGRAM_CALLS], "in-program-calls": list(IN_PROGRAM_CALLS),
    "calls": list(calls.PARTS), "node": NODE_PARTS,
}  # fmt: skip
EVERYTHING = "sched,block,tcp"
IDLE_SEC = 3
# Processes alive, and how often each wakes: 10,000 wakeups per second with the middle one.
POPULATIONS = ((10, 100), (1000, 100), (20000, 10000))


class Results:
    """All figures of one call."""

    def __init__(self):
        self.comparisons = {}  # (workload, tool) -> Comparison; the tool "untraced" shows the noise
        self.calls = {}  # the same for functions of processes
        self.sites = {}  # function -> how it is probed
        self.programs = {}  # (probe, tool) -> [ProgramCost], each figure the median of the passes
        self.program_passes = {}  # (probe, tool) -> [[ProgramCost]]
        self.starts = {}  # tool -> Spread of seconds
        self.memory = {}  # (processes, tool) -> {"peak_bytes", "cpu_share"}
        self.node_attach = {}  # "seconds", "peak_bytes" -> Spread
        self.node_load = {}  # (figure, tool) -> Comparison
        self.node_said = {}  # tool -> what sonde said of its probes, as what it has let go of
        self.not_run = {}  # (part, tool) -> reason

    def skip(self, part, tool, reason):
        self.not_run[(part, tool)] = str(reason)
        report.progress(f"{part}: {tool} not run: {reason}")


def measure_workload(workload, tools, rounds, seconds, results, check=lambda *_: None):
    """Alternates untraced and traced runs, so that each traced run has untraced neighbours in time. (workload, tool) ->
    Comparison. `check`: looks at a tool that has ended, and what ran meanwhile; may raise NotRun."""
    runs = {tool.name: [] for tool in tools}
    untraced = [getattr(workload.run(seconds), workload.cost)]
    for round_number in range(rounds):
        report.progress(f"{workload.name}: round {round_number + 1} of {rounds}")
        for tool in tools:
            if (workload.name, tool.name) in results.not_run:
                continue
            try:
                with start(tool) as running:
                    sample = workload.run(seconds)
                check(tool, running, sample)
            except NotRun as reason:
                results.skip(workload.name, tool.name, reason)
                continue
            before = untraced[-1]
            untraced.append(getattr(workload.run(seconds), workload.cost))
            runs[tool.name].append((before, getattr(sample, workload.cost), untraced[-1]))
    comparisons = {(workload.name, name): compare(rows) for name, rows in runs.items() if rows}
    if len(untraced) >= 3:
        comparisons[(workload.name, "untraced")] = compare(list(zip(untraced, untraced[1:], untraced[2:])))
    return comparisons


def measure_programs(workload, tools, build_dir, passes, seconds, results):
    """Lets the kernel count runs and run time of the programs, with 200 more processes alive. The first of the tools is
    the empty one."""
    part = "in-program " + workload.name
    costs = {tool.name: [] for tool in tools}
    for number in range(passes):
        report.progress(f"{part}: pass {number + 1} of {passes}")
        empty_programs = {}
        with program_statistics(), idle_processes(build_dir, 200, seconds=120):
            for tool in tools:
                if (part, tool.name) in results.not_run:
                    continue
                try:
                    with start(tool) as running:
                        workload.run(seconds)
                        programs = running.programs()
                    if tool.name == "empty":
                        empty_programs = programs
                    elif not empty_programs:
                        raise NotRun("no figures of empty programs to subtract")
                except NotRun as reason:
                    results.skip(part, tool.name, reason)
                    continue
                costs[tool.name].append(program_costs(programs, empty_programs))
    key = workload.name if workload.probes == "calls" else workload.probes
    for name, rows in costs.items():
        if rows:
            results.programs[(key, name)] = median_costs(rows)
            results.program_passes[(key, name)] = rows


def measure_calls(part, program, arguments, results):
    """`program`: gives the running program with the function that `part` is about."""
    of = IN_PROGRAM_CALLS.get(part, part)
    try:
        running = program(calls.PARTS[of][0])
        workload = calls.workload(of, running)
        tools = calls.tools(of, running, arguments.build_dir)
        results.sites[of] = str(running.sites(calls.PARTS[of][1], arguments.build_dir))
        if part == of:
            rounds = arguments.rounds if arguments.quick else max(arguments.rounds, calls.MIN_ROUNDS)
            results.calls |= measure_workload(workload, tools, rounds, arguments.seconds, results, calls.check)
        else:
            limit, *tracers = tools
            tools = [limit, calls.clock(of, running, arguments.build_dir), *tracers]
            measure_programs(workload, tools, arguments.build_dir, arguments.rounds, arguments.seconds, results)
    except NotRun as reason:
        results.skip(part, "the function", reason)


def measure_start(build_dir, runs, results):
    for tool in [sonde(build_dir, EVERYTHING), empty(build_dir, EVERYTHING), RUNQLAT, BIOLATENCY, bpftrace("sched")]:
        report.progress(f"start: {tool.name}")
        seconds = []
        try:
            for _ in range(runs):
                with RunningTool(tool) as running:
                    seconds.append(running.start_sec)
        except NotRun as reason:
            results.skip("start", tool.name, reason)
            continue
        results.starts[tool.name] = spread(seconds)


def measure_memory(build_dir, results):
    """Peak memory with more processes alive, and the tool's own CPU time meanwhile."""
    for processes, period_ms in POPULATIONS:
        part = f"memory, {processes} processes"
        try:
            with idle_processes(build_dir, processes, 120, period_ms):
                # As the others, it reads its maps and prints each second.
                for tool in [sonde(build_dir, EVERYTHING, "--interval", "1"), RUNQLAT, BIOLATENCY, bpftrace("sched")]:
                    report.progress(f"{part}: {tool.name}")
                    measure_memory_of(tool, processes, part, results)
        except NotRun as reason:
            results.skip(part, "the processes", reason)


def measure_memory_of(tool, processes, part, results):
    try:
        with RunningTool(tool) as running:
            cpu_ns = running.cpu_ns()
            time.sleep(IDLE_SEC)
            cpu_share = (running.cpu_ns() - cpu_ns) / (IDLE_SEC * 1e9)
            results.memory[(processes, tool.name)] = {
                "peak_bytes": running.peak_memory_bytes(), "cpu_share": cpu_share}  # fmt: skip
    except NotRun as reason:
        results.skip(part, tool.name, reason)


def measure_node(parts, arguments, results):
    try:
        with node_client.running_node() as node:
            if "node-attach" in parts:
                report.progress("node-attach")
                results.node_attach = node_client.measure_attach(arguments.build_dir, 3 if arguments.quick else 11)
            if "node-load" in parts:
                rounds = arguments.rounds if arguments.quick else max(arguments.rounds, node_client.MIN_ROUNDS)
                results.node_load, results.node_said = node_client.measure_load(node, arguments.build_dir, rounds)
    except NotRun as reason:
        results.skip(", ".join(parts), "the node", reason)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", type=Path, default=Path(__file__).parents[2] / "build", help="(%(default)s)")
    parser.add_argument("--only", default="", help="parts, with commas: the workloads that README.md beside this names (sched-pipe, mixed, "
                        "postgresql, ...), in-program, " + ", ".join(OTHER_PARTS) + "; all of them by default")
    parser.add_argument("--rounds", type=int, default=5, help="traced runs of each tool and workload (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one run (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.3 s: shows that it works, measures little")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 0.3
    if arguments.rounds < 1 or not 0.1 <= arguments.seconds <= 20:
        parser.error("--rounds must be at least 1, --seconds from 0.1 to 20")
    return parser, arguments


def check_host(build_dir):
    if os.geteuid() != 0:
        sys.exit("bench.py: needs root")
    for program in ("sonde-load", "sonde-bench-empty", "sonde-bench-calls"):
        if not (build_dir / program).exists():
            sys.exit(f"bench.py: {build_dir}/{program} is not built")


def interrupt(*_):
    for number in (signal.SIGINT, signal.SIGTERM):  # the second one must not cut the clean-up short
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    parser, arguments = parse_arguments()
    check_host(arguments.build_dir)
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell ignores it in background jobs
        signal.signal(number, interrupt)
    results = Results()
    with ExitStack() as stack:
        device = cache(lambda: stack.enter_context(loop_device()))  # made when first needed
        database = cache(lambda: stack.enter_context(postgres.server()))
        program = cache(lambda language: stack.enter_context(calls.started(language, arguments.build_dir)))
        workloads = [*all_workloads(arguments.build_dir, device), postgres.workload(database)]
        names = [workload.name for workload in workloads] + [*calls.PARTS] + OTHER_PARTS
        chosen = [part for name in arguments.only.split(",") for part in SHORT.get(name, [name])]
        chosen = chosen if arguments.only else names
        for name in chosen:
            if name not in names:
                parser.error(f"no part '{name}'; there are: {', '.join(names)}")
        for workload in workloads:
            if workload.name in chosen:
                tools = tools_for(arguments.build_dir, workload.probes)
                try:
                    results.comparisons |= measure_workload(workload, tools, arguments.rounds, arguments.seconds, results)
                except NotRun as reason:
                    results.skip(workload.name, "the workload itself", reason)
        for part in [*calls.PARTS, *IN_PROGRAM_CALLS]:
            if part in chosen:
                measure_calls(part, program, arguments, results)
        for part, name in IN_PROGRAM.items():
            if part in chosen:
                workload = next(workload for workload in workloads if workload.name == name)
                limit, *tracers = tools_for(arguments.build_dir, workload.probes)
                tools = [limit, clock(arguments.build_dir, workload.probes), *tracers]
                measure_programs(workload, tools, arguments.build_dir, arguments.rounds, arguments.seconds, results)
        if "start" in chosen:
            measure_start(arguments.build_dir, 3 if arguments.quick else 15, results)
        if "memory" in chosen:
            measure_memory(arguments.build_dir, results)
        if node_parts := [part for part in NODE_PARTS if part in chosen]:
            measure_node(node_parts, arguments, results)
    verdicts = goals(results)
    report.print_tables(results, verdicts)
    if arguments.json:
        report.write_json(arguments.json, results, verdicts, vars(arguments))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("bench.py: interrupted; settings are put back")
