#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records what the verifier has to do for each BPF program, in verifier_cost.json (see verifier_cost_test.cpp).

Usage: tests/kernel/record_verifier_cost.py BUILD_DIR [6.1|6.12|live...]     as root; all three by default
Keeps what is recorded of other kernel series. Look at the difference before you commit it.
"""
import json
import os
import pathlib
import subprocess
import sys

here = pathlib.Path(__file__).parent
record_file = here / "verifier_cost.json"
MARK = "verifier cost: "


def measure(build, kernel):
    """The lines [series, hooks, program, session, instructions] of one kernel."""
    tests = [build / "sonde_kernel_tests"] if kernel == "live" else [here / "in_vm.sh", build, kernel, "none"]
    run = subprocess.run([*tests, "--gtest_filter=*/VerifierCost.*:VerifierCost.*:*.VerifierCostOfCalls*"], text=True, stdout=subprocess.PIPE,
                         env={**os.environ, "SONDE_RECORD_VERIFIER_COST": "1"})
    lines = [json.loads(line[len(MARK):]) for line in run.stdout.splitlines() if line.startswith(MARK)]
    if run.returncode != 0 or not lines:
        sys.exit(f"{run.stdout}record_verifier_cost.py: nothing recorded: status {run.returncode} on {kernel}")
    return lines


def text_of(record):
    """A line per program, so that a changed program is one line of a diff."""
    def line(costs):
        return json.dumps(costs, sort_keys=True)

    def block(items, indent, show):
        inner = ",\n".join(f'{indent} "{name}": {show(items[name])}' for name in items)
        return "{\n" + inner + "\n" + indent + "}"

    return block(record, "", lambda hooks: block(hooks, " ", lambda programs: block(programs, "  ", line))) + "\n"


def main():
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= {"6.1", "6.12", "live"}:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    record = json.loads(record_file.read_text())
    for kernel in sys.argv[2:] or ["6.1", "6.12", "live"]:
        lines = measure(build, kernel)
        record[lines[0][0]] = series = {}
        for _, hooks, program, session, instructions in sorted(lines):
            series.setdefault(hooks, {}).setdefault(program, {})[session] = instructions
        print(f"Linux {lines[0][0]}: {len(lines)} numbers")
    by_version = sorted(record, key=lambda series: [int(part) for part in series.split(".")])
    record_file.write_text(text_of({series: record[series] for series in by_version}))


main()
