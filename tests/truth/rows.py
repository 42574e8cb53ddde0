# SPDX-License-Identifier: Apache-2.0
"""A row of the table of truth: one number that sonde measured, and the same number from somewhere else."""

import json
import sys
from dataclasses import asdict, dataclass

# Half a bucket of schema 4, 2^(1/32) - 1: no quantile of a histogram can be better.
BUCKET_ERROR = 2 ** (1 / 32) - 1


class NotHere(Exception):
    """A scenario cannot be made on this machine; the text says why."""


@dataclass(frozen=True)
class Row:
    scenario: str
    statistic: str
    unit: str  # "ns", "bytes", "share", or "" for a count
    truth: float
    source: str  # where the truth is from
    sonde: float
    allowed: float | None  # the difference that is allowed, in `unit`; None: a witness, which decides nothing

    @property
    def difference(self):
        return self.sonde - self.truth

    @property
    def verdict(self):
        if self.allowed is None:
            return "witness"
        return "ok" if abs(self.difference) <= self.allowed else "WRONG"


def exact(scenario, statistic, truth, source, sonde, unit=""):
    return Row(scenario, statistic, unit, truth, source, sonde, 0)


def within(scenario, statistic, truth, source, sonde, relative, absolute=0.0, unit="ns"):
    return Row(scenario, statistic, unit, truth, source, sonde, relative * abs(truth) + absolute)


def witness(scenario, statistic, truth, source, sonde, unit="ns"):
    return Row(scenario, statistic, unit, truth, source, sonde, None)


def number(value, unit, signed=False):
    """A number as a person reads it, with four digits where it has a unit."""
    sign = "+" if signed else ""
    if unit == "ns":
        for scale, name in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
            if abs(value) >= scale:
                return f"{value / scale:{sign}.4g} {name}"
        return f"{value:{sign}.0f} ns"
    if unit == "share":
        return f"{100 * value:{sign}.2f}%"
    return f"{value:{sign},.0f}{' B' if unit == 'bytes' else ''}"


def print_table(rows, not_here):
    headings = ["scenario", "what", "truth", "from", "sonde", "difference", "allowed", ""]
    lines = [headings]
    last = None
    for row in rows:
        difference = number(row.difference, row.unit, signed=True)
        if row.unit == "ns" and row.truth:
            difference += f" ({100 * row.difference / row.truth:+.1f}%)"
        allowed = "-" if row.allowed is None else number(row.allowed, row.unit)
        scenario = "" if row.scenario == last else row.scenario
        last = row.scenario
        lines.append([scenario, row.statistic, number(row.truth, row.unit), row.source, number(row.sonde, row.unit),
                      difference, allowed, row.verdict])  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    numeric = {2, 4, 5, 6}
    for line in lines:
        cells = [cell.rjust(width) if i in numeric else cell.ljust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]  # fmt: skip
        print("  ".join(cells).rstrip())
    for scenario, reason in not_here:
        print(f"not possible here: {scenario}: {reason}")
    sys.stdout.flush()


def write_json(path, rows, not_here, about):
    document = {
        "machine": about,
        "rows": [asdict(row) | {"difference": row.difference, "verdict": row.verdict} for row in rows],
        "not_possible_here": [{"scenario": scenario, "reason": reason} for scenario, reason in not_here],
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
