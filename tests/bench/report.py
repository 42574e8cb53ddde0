# SPDX-License-Identifier: Apache-2.0
"""Shows the results: tables on the terminal, and JSON with the machine they are from."""

import datetime
import json
import math
import os
import platform
import sys
from dataclasses import asdict, is_dataclass

from measures import net_ns_per_call, net_ns_per_event, ratio, spread


# What the costs of a probe are divided by: the runs of the programs on this hook.
EVENTS = {"sched": "switch", "block": "complete", "tcp": "tcp_probe"}


def progress(text):
    print(f"... {text}", file=sys.stderr, flush=True)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpu": models[0] if models else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
    }


def table(title, headings, rows):
    if not rows:
        return
    cells = [headings] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    print(f"\n{title}")
    for row in cells:
        first, *others = [cell.ljust(width) if i == 0 else cell.rjust(width)
                          for i, (cell, width) in enumerate(zip(row, widths))]  # fmt: skip
        print("  " + "  ".join([first, *others]).rstrip())


def factors(values):
    return f"{values.least:.3f}/{values.middle:.3f}/{values.most:.3f}"


def times(value):
    return "-" if value is None else f"{value:.2f}x"


def measured(goal):
    if goal.value is None:
        return "-"
    interval = f" ({goal.interval[0]:.3g}-{goal.interval[1]:.3g})" if goal.interval else ""
    return f"{goal.value:.3g} {goal.unit}".strip() + interval


def comparison_rows(results, workload):
    """The tools of one workload, with what they add in terms of what the others add."""
    tools = {tool: figures for (name, tool), figures in results.comparisons.items() if name == workload}
    limit = tools["empty"].added_ns.middle if "empty" in tools else None
    rows = []
    for tool, figures in tools.items():
        added = figures.added_ns
        noise = tool == "untraced"
        rows.append([
            tool, factors(figures.slow_down), f"{added.least:.0f}/{added.middle:.0f}/{added.most:.0f}",
            "-" if noise else times(ratio(added.middle, limit)),
            "-" if noise or "sonde" not in tools else times(ratio(tools["sonde"].added_ns.middle, added.middle)),
        ])  # fmt: skip
    return rows


def call_ratios(numerator, denominator):
    """Of added times, round by round."""
    ratios = numerator.ratios_to(denominator) if numerator and denominator else [None]
    return "-" if None in ratios else factors(spread(ratios))


def print_calls(results):
    table("How sonde probes the functions, and so the empty programs", ["function", "probes"], list(results.sites.items()))
    for part in dict.fromkeys(name for name, _ in results.calls):
        tools = {tool: figures for (name, tool), figures in results.calls.items() if name == part}
        rows = []
        for tool, figures in tools.items():
            added = figures.added_ns
            row = [tool, f"{added.least:.0f}/{added.middle:.0f}/{added.most:.0f}"]
            if tool == "untraced":
                row += ["-", "-"]
            else:
                row += [call_ratios(figures, tools.get("empty")), call_ratios(tools.get("sonde"), figures)]
            rows.append(row)
        table(f"{part}: CPU time against the untraced runs around each run, min/median/max of the rounds",
              ["tool", "added ns per call", "added / empty", "sonde / it"], rows)  # fmt: skip


def print_node(results):
    if results.node_attach:
        seconds, peak = results.node_attach["seconds"], results.node_attach["peak_bytes"]
        table("A large stripped node client, until its calls are traced", ["what", "min", "median", "max"], [
            ["from exec, ms", *(f"{value * 1e3:.0f}" for value in (seconds.least, seconds.middle, seconds.most))],
            ["peak memory of sonde and its largest child, MB",
             *(f"{value / 1e6:.1f}" for value in (peak.least, peak.middle, peak.most))],
        ])  # fmt: skip
    table("The load of the node client, against the untraced runs around each run, min/median/max",
          ["figure", "tool", "slow-down", "added us"],
          [[figure, tool, factors(c.slow_down), f"{c.added_ns.least / 1e3:.0f}/{c.added_ns.middle / 1e3:.0f}/"
            f"{c.added_ns.most / 1e3:.0f}"] for (figure, tool), c in results.node_load.items()])  # fmt: skip
    for tool, reason in results.node_said.items():
        print(f"  {tool} said of its probes: {reason or 'nothing'}")


def print_programs(results):
    rows = []
    for (probe, tool), costs in results.programs.items():
        for cost in costs:
            rows.append([probe, tool, cost.name, cost.runs, f"{cost.ns_per_run:.0f}", f"{cost.net_ns_per_run:.0f}"])
    table("In-program time, counted by the kernel; net of what an empty program on the same hook shows",
          ["probe", "tool", "program", "runs", "ns per run", "net ns"], rows)  # fmt: skip
    rows = []
    for (probe, tool), costs in results.programs.items():
        event = EVENTS.get(probe)
        per_event = net_ns_per_event(costs, None, event) if event else net_ns_per_call(costs)
        rows.append([probe, tool, event or "call", "-" if per_event is None else f"{per_event:.0f}"])
    table("In-program time of all programs of a tool, per event", ["probe", "tool", "event", "net ns"], rows)


def print_tables(results, verdicts):
    print(", ".join(f"{key}: {value}" for key, value in machine().items()))
    for workload in dict.fromkeys(name for name, _ in results.comparisons):
        table(f"{workload}: against the untraced runs around each run, min/median/max",
              ["tool", "slow-down", "added ns per op", "added / empty", "sonde / it"],
              comparison_rows(results, workload))  # fmt: skip
    print_calls(results)
    print_programs(results)
    table("From exec until it traces, ms", ["tool", "min", "median", "max"],
          [[tool, f"{s.least * 1e3:.1f}", f"{s.middle * 1e3:.1f}", f"{s.most * 1e3:.1f}"]
           for tool, s in results.starts.items()])  # fmt: skip
    table("With more processes alive; 1,000 wake 10,000 times a second, the others 100 and 2,000 times",
          ["tool", "processes", "peak memory, MB", "CPU, % of one"],
          [[tool, processes, f"{m['peak_bytes'] / 1e6:.1f}", f"{m['cpu_share'] * 100:.2f}"]
           for (processes, tool), m in results.memory.items()])  # fmt: skip
    print_node(results)
    table("Goals of sonde; in brackets the 90% interval of a ratio, the least and most of times in programs", ["what", "value", "goal", "verdict"],
          [[goal.what, measured(goal), f"<= {goal.most:g} {goal.unit}".strip(), goal.verdict]
           for goal in verdicts])  # fmt: skip
    if results.not_run:
        print()
    for (part, tool), reason in results.not_run.items():
        print(f"not run: {part}, {tool}: {reason}")


def plain(value):
    return asdict(value) if is_dataclass(value) else value


def finite(interval):
    """JSON has no infinity."""
    return interval and [bound if math.isfinite(bound) else None for bound in interval]


def rows_of(figures, *key_names):
    """[{key names and values, "figures"}] of a dictionary whose keys are tuples or strings."""
    rows = []
    for key, value in figures.items():
        names = dict(zip(key_names, key if isinstance(key, tuple) else (key,)))
        value = [plain(each) for each in value] if isinstance(value, list) else plain(value)
        rows.append({**names, "figures": value})
    return rows


def write_json(path, results, verdicts, arguments):
    document = {
        "machine": machine(),
        "arguments": {name: str(value) for name, value in arguments.items()},
        "comparisons": rows_of(results.comparisons, "workload", "tool"),
        "calls": rows_of(results.calls, "function", "tool"),
        "sites": results.sites,
        "node_attach": {what: plain(figures) for what, figures in results.node_attach.items()},
        "node_load": rows_of(results.node_load, "figure", "tool"),
        "node_said": results.node_said,
        "programs": rows_of(results.programs, "probe", "tool"),
        "start_sec": rows_of(results.starts, "tool"),
        "memory": rows_of(results.memory, "processes", "tool"),
        "goals": [{**asdict(goal), "interval": finite(goal.interval), "verdict": goal.verdict} for goal in verdicts],
        "not_run": rows_of(results.not_run, "part", "tool"),
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
