# SPDX-License-Identifier: Apache-2.0
"""The arithmetic: from samples to figures, and from figures to goals met or missed. No input, no output."""

import math
import random
from dataclasses import dataclass
from statistics import median

RESAMPLES = 2000

# Part of a program's name (the kernel keeps 15 characters of it) -> the hook it is on.
HOOKS = {
    "wakeup_ne": "wakeup_new", "wakeup": "wakeup", "switch": "switch",
    "issue": "issue", "comple": "complete", "tcp_probe": "tcp_probe", "tcp_rcv": "tcp_probe",
    "begi": "begin", "_end": "end", "retu": "end", "kretprobe": "end", "kprobe": "begin",
}  # fmt: skip


@dataclass(frozen=True)
class Spread:
    least: float
    middle: float
    most: float


def spread(values):
    return Spread(min(values), median(values), max(values))


@dataclass(frozen=True)
class Comparison:
    """What a tool did to a workload, over all rounds."""

    slow_down: Spread
    added_ns: Spread  # per operation
    added_ns_of_rounds: list
    slow_down_of_rounds: list

    def ratios_to(self, other):
        """What this added in terms of what the other did, round by round."""
        return [ratio(mine, theirs) for mine, theirs in zip(self.added_ns_of_rounds, other.added_ns_of_rounds)]


def compare(runs):
    """runs: (cost before, cost traced, cost after) per operation of each round, in ns."""
    untraced = [(before + after) / 2 for before, _, after in runs]
    added_ns = [traced - base for (_, traced, _), base in zip(runs, untraced)]
    slow_down = [traced / base for (_, traced, _), base in zip(runs, untraced)]
    return Comparison(spread(slow_down), spread(added_ns), added_ns, slow_down)


@dataclass(frozen=True)
class ProgramCost:
    name: str
    runs: int
    ns_per_run: float
    net_ns_per_run: float  # without what counting itself costs


def hook_of(program):
    """The hook that a program is on, as far as its name tells; None for others."""
    return next((hook for part, hook in HOOKS.items() if part in program), None)


def program_costs(programs, empty_programs):
    """programs, empty_programs: {name: (runs, ns)}. The bias of a program is the figure of the empty program on
    its hook; where there is none, that of all empty programs together."""
    bias = {hook_of(name): ns / runs for name, (runs, ns) in empty_programs.items() if runs}
    total_runs = sum(runs for runs, _ in empty_programs.values())
    common_bias = sum(ns for _, ns in empty_programs.values()) / total_runs if total_runs else 0.0
    costs = []
    for name, (runs, ns) in sorted(programs.items()):
        if runs:
            costs.append(ProgramCost(name, runs, ns / runs, ns / runs - bias.get(hook_of(name), common_bias)))
    return costs


def median_costs(passes):
    """passes: the program costs of the same tool, measured several times; the median of each figure."""
    every = [cost for each_pass in passes for cost in each_pass]
    costs = []
    for name in sorted({cost.name for cost in every}):
        rows = [cost for cost in every if cost.name == name]
        costs.append(ProgramCost(
            name, round(median(row.runs for row in rows)), median(row.ns_per_run for row in rows),
            median(row.net_ns_per_run for row in rows)))  # fmt: skip
    return costs


def net_ns_per_event(costs, hooks, event):
    """Net time of the programs on `hooks` (None: of all), per run of the hook `event`; None if it never ran. Of
    several programs on that hook, all run at each."""
    events = max((cost.runs for cost in costs if hook_of(cost.name) == event), default=0)
    counted = [cost for cost in costs if hooks is None or hook_of(cost.name) in hooks]
    net_ns = sum(cost.runs * cost.net_ns_per_run for cost in counted)
    return net_ns / events if events else None


def net_ns_per_call(costs):
    """Of a function: one program runs at its entry and one at its return, in some tools under the same name."""
    runs = sum(cost.runs for cost in costs)
    return sum(cost.runs * cost.net_ns_per_run for cost in costs) / (runs / 2) if runs else None


@dataclass(frozen=True)
class Goal:
    what: str
    most: float
    unit: str
    value: float | None = None  # None: not measured, or lost in the noise
    interval: tuple | None = None  # where the value lies, as far as the rounds tell

    @property
    def verdict(self):
        if self.value is None:
            return "no figure"
        least, most = self.interval or (self.value, self.value)
        if least <= self.most < most:
            return "unclear: too noisy"
        return "met" if most <= self.most else "missed"


def ratio(part, whole):
    """None where it would say nothing: not measured, or the whole is lost in the noise."""
    if part is None or whole is None or whole <= 0:
        return None
    return max(part, 0) / whole


def ratio_interval(parts, wholes):
    """90% interval of the ratio of the medians: bootstrap, by drawing rounds again with replacement."""
    draw = random.Random(1)  # seeded: equal rounds give equal intervals
    ratios = []
    for _ in range(RESAMPLES):
        part = median(draw.choices(parts, k=len(parts)))
        whole = median(draw.choices(wholes, k=len(wholes)))
        ratios.append(max(part, 0) / whole if whole > 0 else math.inf)
    ratios.sort()
    return ratios[RESAMPLES // 20], ratios[-RESAMPLES // 20]


def median_interval(values):
    """As above, of the median of figures of which each is from one round."""
    draw = random.Random(1)
    medians = sorted(median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[RESAMPLES // 20], medians[-RESAMPLES // 20]


def call_goals(results):
    """Of each function that was measured, and each tool that was to be measured on it."""
    for part in dict.fromkeys(part for part, _ in results.calls):
        ours = results.calls.get((part, "sonde"))
        for other, most in (("empty", 1.25), ("funclatency", 1.0), ("bpftrace", 1.0)):
            what = f"{part}: added by sonde / by {other}"
            theirs = results.calls.get((part, other))
            ratios = ours.ratios_to(theirs) if ours and theirs else [None]
            if None not in ratios:
                yield Goal(what, most, "", median(ratios), median_interval(ratios))
            elif theirs or (part, other) in results.not_run:
                yield Goal(what, most, "")


def node_goals(results):
    """Of a large node client, where that was measured."""
    if results.node_attach:
        yield Goal("node: from exec until its calls are traced, median", 1.5, "s", results.node_attach["seconds"].middle)
        yield Goal("node: peak memory until then", 80, "MB", results.node_attach["peak_bytes"].most / 1e6)
    for (figure, tool), comparison in results.node_load.items():
        if tool != "untraced" and not figure.startswith("CPU"):
            percent = [100 * (factor - 1) for factor in comparison.slow_down_of_rounds]
            yield Goal(f"node: {figure}, added by {tool}", 1, "%", median(percent), median_interval(percent))


def goals(results):
    """results: the collected figures, see bench.py."""

    def program_figures(probe, tool, hooks, event):
        passes = results.program_passes.get((probe, tool), [])
        return [net_ns_per_event(costs, hooks, event) for costs in passes]

    def program(what, most, probe, hooks, event):
        figures = program_figures(probe, "sonde", hooks, event)
        if not figures or None in figures:
            return Goal(what, most, "ns")
        return Goal(what, most, "ns", median(figures), (min(figures), max(figures)))

    def program_ratio(what, most, probe, event, others):
        """To the cheapest of the others that could be run."""
        ours = program_figures(probe, "sonde", None, event)
        theirs = [figures for figures in (program_figures(probe, other, None, event) for other in others)
                  if figures and None not in figures]  # fmt: skip
        if not ours or None in ours or not theirs:
            return Goal(what, most, "")
        best = min(theirs, key=median)
        return Goal(what, most, "", ratio(median(ours), median(best)), ratio_interval(ours, best))

    def added_ratio(what, most, others):
        """To the one of the others that adds least."""
        ours = results.comparisons.get(("sched-pipe", "sonde"))
        theirs = [results.comparisons[key] for key in (("sched-pipe", other) for other in others)
                  if key in results.comparisons]  # fmt: skip
        if not ours or not theirs:
            return Goal(what, most, "")
        best = min(theirs, key=lambda comparison: comparison.added_ns.middle)
        interval = ratio_interval(ours.added_ns_of_rounds, best.added_ns_of_rounds)
        return Goal(what, most, "", ratio(ours.added_ns.middle, best.added_ns.middle), interval)

    def slow_down(what, most, workload):
        comparison = results.comparisons.get((workload, "sonde"))
        if not comparison:
            return Goal(what, most, "%")
        least, middle, greatest = (100 * (factor - 1) for factor in (
            comparison.slow_down.least, comparison.slow_down.middle, comparison.slow_down.most))  # fmt: skip
        return Goal(what, most, "%", middle, (least, greatest))

    start = results.starts.get("sonde")
    memory = results.memory.get((1000, "sonde"))
    return [
        program("in-program, per wakeup", 80, "sched", {"wakeup"}, "wakeup"),
        program("in-program, per switch, 200 processes", 160, "sched", {"switch"}, "switch"),
        program("in-program, per block request", 150, "block", {"issue", "complete"}, "complete"),
        program("in-program, per TCP segment", 60, "tcp", {"tcp_probe"}, "tcp_probe"),
        program_ratio("in-program, block: sonde / the best peer", 0.25, "block", "complete",
                      ("biolatency 1", "bpftrace block.bt")),
        program_ratio("in-program, block: sonde / peers for all its stages", 0.25, "block", "complete",
                      ("biolatency -DF, with and without -Q",)),
        program_ratio("in-program, TCP: sonde / tcprtt", 0.3, "tcp", "tcp_probe", ("tcprtt -i 1",)),
        added_ratio("sched-pipe: added by sonde / by empty programs", 2.0, ("empty",)),
        added_ratio("sched-pipe: added by sonde / by the best peer", 0.4, ("runqlat -P 1", "bpftrace sched.bt")),
        added_ratio("sched-pipe: added by sonde / by peers for all its times", 0.4, ("runqlat, cpudist, cpudist -O",)),
        slow_down("mixed load, all probes: CPU time added", 2, "mixed"),
        slow_down("PostgreSQL, all probes: time per transaction added", 2, "postgresql"),
        Goal("from exec until all count, median", 100, "ms", start.middle * 1e3 if start else None),
        Goal("peak memory with 1,000 processes", 20, "MB", memory["peak_bytes"] / 1e6 if memory else None),
        *call_goals(results),
        *node_goals(results),
    ]  # fmt: skip
