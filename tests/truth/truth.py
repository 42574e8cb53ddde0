#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far is each number of sonde from the truth?

Each scenario has a true value from somewhere else than sonde: a load that keeps its own account, the kernel's
accounts, a disk or a link of known speed. Prints a table of truth, sonde, difference and what is allowed.
What this machine cannot do is listed with its reason.
Exit status: 0 if all are within what is allowed, 1 if one is not, 2 for wrong usage, 77 without root."""

import argparse
import datetime
import os
import platform
import sys
from pathlib import Path

import block
import offcpu
import sched
import tcp
import witnesses
from loads import Setting
from rows import NotHere, number, print_table, write_json

TRIES = 3
SKIPPED = 77  # as ctest is told
PARTS = {"sched": sched, "offcpu": offcpu, "block": block, "tcp": tcp, "witnesses": witnesses}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build = Path(__file__).resolve().parents[2] / "build"
    parser.add_argument("--build-dir", type=Path, default=build, help="has sonde and sonde-load (%(default)s)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}, comma separated")
    parser.add_argument("--complete", default="", metavar="PARTS", help="fail if anything of these is not possible here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    parser.add_argument("--disk", metavar="DEVICE", help="a block device whose contents may be destroyed")
    parser.add_argument("--folder", default="/var/tmp", help="a folder on a disk (%(default)s)")
    parser.add_argument("--slow", action="store_true", help="the CPU is emulated: allow more around an event")
    options = parser.parse_args()
    options.only = options.only.split(",")
    options.complete = options.complete.split(",") if options.complete else []
    if unknown := set(options.only + options.complete) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}")
    for program in ("sonde", "sonde-load"):
        if not (options.build_dir / program).is_file():
            parser.error(f"{options.build_dir} has no {program}: build it first")
    return options


def attempt(scenario, setting):
    """The rows of a scenario, and why there are no more: None if these are all."""
    rows = []
    try:
        for row in scenario(setting):
            rows.append(row)
    except NotHere as reason:
        return rows, str(reason)
    return rows, None


def measure(scenario, setting):
    """As attempt(). A scenario with a wrong row gets two more tries: a time may be wrong because the host was disturbed,
    a count because some kernels leave out a tracepoint in some ten thousand hits."""
    for number_of_try in range(TRIES):
        rows, reason = attempt(scenario, setting)
        if reason and number_of_try:
            raise RuntimeError(f"{reason}, and not so at the try before")
        wrong = [row for row in rows if row.verdict == "WRONG"]
        if not wrong:
            break
        for row in wrong:
            print(f"    try {number_of_try + 1}: {row.scenario}: {row.statistic}: {number(row.sonde, row.unit)} instead "
                  f"of {number(row.truth, row.unit)}", file=sys.stderr, flush=True)  # fmt: skip
    return rows, reason


def main():
    options = arguments()
    if os.geteuid() != 0:
        print("truth.py: needs root", file=sys.stderr)
        return SKIPPED
    setting = Setting(str(options.build_dir / "sonde"), str(options.build_dir / "sonde-load"), options.slow,
                      options.disk, options.folder)  # fmt: skip
    rows, not_here = [], []
    for part in options.only:
        for scenario in PARTS[part].SCENARIOS:
            name = f"{part}: {scenario.__name__.replace('_', ' ')}"
            print(f"... {name}", file=sys.stderr, flush=True)
            measured, reason = measure(scenario, setting)
            rows += measured
            if reason:
                not_here.append((name, reason))
    about = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "emulated": options.slow,
    }
    print_table(rows, not_here)
    if options.json:
        write_json(options.json, rows, not_here, about)
    wrong = [row for row in rows if row.verdict == "WRONG"]
    judged = sum(row.allowed is not None for row in rows)
    print(f"{judged - len(wrong)} of {judged} are within what is allowed; kernel {about['kernel']}, {about['date']}")
    left_out = [name for name, _ in not_here if name.partition(":")[0] in options.complete]
    if left_out:
        print(f"truth.py: not possible, and asked for with --complete: {', '.join(left_out)}", file=sys.stderr)
    return 1 if wrong or left_out or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
