# SPDX-License-Identifier: Apache-2.0
"""The frame of a client's test: its arguments, a second try, the table, the exit status.

What: main(doc, scenarios). A scenario is a name and a function of the arguments that gives rows, and NotHere for what it
      leaves out; it raises that if it cannot be made here.
      One with a wrong row is tried again, twice: a time is wrong where something else took the CPU between two clocks.
Exit: 0 all as it should be, 1 not, 77 nothing could be tested; the last line says why.
"""
import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import started

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "truth"))
from rows import NotHere, number, print_table  # noqa: E402

TRIES = 3
SKIPPED = 77


def attempt(name, scenario, options):
    """(rows, what could not be tested)"""
    for number_of_try in range(TRIES):
        given = [*scenario(options)]
        rows = [each for each in given if not isinstance(each, NotHere)]
        wrong = [row for row in rows if row.verdict == "WRONG"]
        if not wrong:
            break
        for row in wrong:
            print(f"    try {number_of_try + 1}: {name}: {row.statistic}: {number(row.sonde, row.unit)}, by "
                  f"{row.source} {number(row.truth, row.unit)}", file=sys.stderr, flush=True)  # fmt: skip
    return rows, [(name, each) for each in given if isinstance(each, NotHere)]


def main(doc, scenarios):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sonde", type=Path)
    parser.add_argument("--program", help="test this one instead of fetching one")
    parser.add_argument("--only", metavar="SCENARIO", action="append", choices=[name for name, _ in scenarios],
                        help="of %(choices)s; repeatable")  # fmt: skip
    parser.add_argument("--fetch", action="store_true", help="only get, or build, what is to be tested")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("needs root")
        return SKIPPED
    started.end_on_sigterm()
    rows, not_here, failed = [], [], []
    for name, scenario in scenarios:
        if options.only and name not in options.only:
            continue
        begin = time.monotonic()
        try:
            measured, left_out = attempt(name, scenario, options)
            rows += measured
            not_here += left_out
        except NotHere as reason:
            not_here.append((name, reason))
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            failed.append((name, error))
        print(f"... {name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    if rows:
        print_table(rows, [])
    for name, reason in not_here:
        print(f"{name}: NOT TESTED: {reason}")
    for name, error in failed:
        print(f"{name}: FAILED: {error}")
    if options.fetch:
        return 1 if failed else 0
    if failed or any(row.verdict == "WRONG" for row in rows):
        return 1
    return 0 if rows else SKIPPED
