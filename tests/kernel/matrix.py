#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints what sonde measures on which kernel, with which hook, and whether the kernel tests pass there.

Usage: tests/kernel/matrix.py BUILD_DIR [CELL...]     as root; a cell takes two to three minutes
Cells: 6.1, 6.1-integrity, 6.1-confidentiality, the same of 6.12 (virtual machines; ctest runs the most telling tests
       in each, as vm_6_1_none and so on), and live, this machine as it is. All seven by default.
Exit:  0 if in each cell all tests passed, in a guest at the second try, or were skipped, and the kernel reported no bug;
       else 1; 2 for wrong usage.
"""
import collections
import dataclasses
import errno
import json
import os
import pathlib
import re
import subprocess
import sys
import time

here = pathlib.Path(__file__).parent
CELLS = [f"{kernel}{mode}" for kernel in ("6.1", "6.12") for mode in ("", "-integrity", "-confidentiality")] + ["live"]
COMPLAINTS = re.compile("|".join((here / "../../scripts/vm/kernel_complaints").read_text().split("\n")[:-1]))


@dataclasses.dataclass
class Cell:
    name: str
    status: int = 0
    seconds: float = 0
    doctor: dict = dataclasses.field(default_factory=dict)
    passed: int = 0
    failed: list = dataclasses.field(default_factory=list)
    second_try: list = dataclasses.field(default_factory=list)
    skipped: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # by reason
    complaints: list = dataclasses.field(default_factory=list)  # of the kernel

    @property
    def lockdown(self):
        return self.doctor.get("facts", {}).get("lockdown", "?")

    @property
    def kernel(self):
        release = self.doctor.get("kernel", self.name)
        return ".".join(release.split(".")[:2]) + (" live" if self.name == "live" else "")

    def measurement(self, name):
        return next((m for m in self.doctor.get("measurements", []) if m["measurement"] == name), None)


def read_output(cell, text):
    """Doctor's document, then what GoogleTest prints: a skipped test's reason is below "FILE:LINE: Skipped"."""
    lines = text.splitlines()
    reason = ""
    for i, line in enumerate(lines):
        if line.startswith('{"schema":"sonde.doctor/1"'):
            cell.doctor = json.loads(line)
        elif line.endswith(": Skipped"):
            reason = lines[i + 1]
        elif match := re.match(r"\[ +(OK|FAILED|SKIPPED) +\] ([^\s,]+).* \(\d+ ms\)$", line):
            if match[1] == "OK":
                cell.passed += 1
                if match[2] in cell.failed:
                    cell.failed.remove(match[2])
                    cell.second_try.append(match[2])
            elif match[1] == "FAILED":
                cell.failed.append(match[2])
            else:
                cell.skipped[reason or "no reason given"] += 1
                reason = ""


class KernelLog:
    """What the kernel logs from here on."""

    def __init__(self):
        self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.fd, 0, os.SEEK_END)

    def complaints(self):
        found = []
        while True:
            try:
                record = os.read(self.fd, 8192).decode(errors="replace")
            except OSError as error:
                if error.errno == errno.EPIPE:  # records were overwritten before they were read
                    found.append("/dev/kmsg: records lost")
                    continue
                if error.errno == errno.EAGAIN:
                    return found
                raise
            message = record.split(";", 1)[-1].split("\n", 1)[0]
            if COMPLAINTS.search(message):
                found.append(message)


def run_live(cell, build):
    log = KernelLog()
    doctor = subprocess.run([build / "sonde", "doctor", "-o", "json"], stdout=subprocess.PIPE, text=True)
    tests = subprocess.run([build / "sonde_kernel_tests"], stdout=subprocess.PIPE, text=True)
    read_output(cell, doctor.stdout + tests.stdout)
    cell.status = doctor.returncode or tests.returncode
    if cell.status != 0:
        print(tests.stdout, end="", file=sys.stderr)
    cell.complaints = log.complaints()


def run_vm(cell, build):
    kernel, _, lockdown = cell.name.partition("-")
    run = subprocess.run([here / "in_vm.sh", build, kernel, lockdown or "none"], capture_output=True, text=True)
    read_output(cell, run.stdout)
    cell.status = run.returncode
    cell.complaints = [line for line in run.stderr.splitlines() if run.returncode == 124 and COMPLAINTS.search(line)]
    if run.returncode != 0:
        print(run.stdout, run.stderr, sep="", end="", file=sys.stderr)


def run_cell(name, build):
    cell = Cell(name)
    start = time.monotonic()
    (run_live if name == "live" else run_vm)(cell, build)
    cell.seconds = time.monotonic() - start
    return cell


class Notes:
    """Footnotes: the same text has the same number."""

    def __init__(self):
        self.texts = []

    def number(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"


def entry(measurement, notes):
    """"tp_btf", "off [1]", "degraded [2] raw_tp": the kinds of program in "tp_btf/sched_switch, sched_wakeup"."""
    if measurement is None:
        return "?"
    kinds = "+".join(dict.fromkeys(re.findall(r"\b(tp_btf|raw_tp|fentry|fexit)/", measurement["hook"])))
    if measurement["status"] == "ok":
        return kinds
    why = "; ".join([*measurement["rejected"], measurement["reason"]])
    return f"{measurement['status']} {notes.number(why)} {kinds}".rstrip()


def table(cells):
    notes = Notes()
    names = list(dict.fromkeys(m["measurement"] for cell in cells for m in cell.doctor.get("measurements", [])))
    rows = [["Linux"] + [cell.kernel for cell in cells], ["lockdown"] + [cell.lockdown for cell in cells]]
    rows += [[name] + [entry(cell.measurement(name), notes) for cell in cells] for name in names]
    rows += [["tests passed"] + [str(cell.passed) for cell in cells],
             ["tests skipped"] + [str(sum(cell.skipped.values())) for cell in cells],
             ["tests failed"] + [str(len(cell.failed)) for cell in cells],
             ["kernel warnings"] + [str(len(cell.complaints)) for cell in cells],
             ["seconds"] + [f"{cell.seconds:.0f}" for cell in cells]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(cells) + 1)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    rule = "-" * max(map(len, lines))
    for at in (2, 3 + len(names)):
        lines.insert(at, rule)
    lines += [""] + [f"[{i + 1}] {text}" for i, text in enumerate(notes.texts)]
    for cell in cells:
        lines += [f"{cell.name}: skipped {count}: {reason}" for reason, count in cell.skipped.items()]
        lines += [f"{cell.name}: passed at the second try only: {test}" for test in cell.second_try]
        lines += [f"{cell.name}: FAILED: {test}" for test in cell.failed]
        lines += [f"{cell.name}: the kernel says: {line}" for line in cell.complaints]
        if cell.status != 0:
            lines.append(f"{cell.name}: FAILED with status {cell.status}")
    return "\n".join(lines)


def main():
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__, end="")
        return
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(CELLS):
        print(__doc__, end="", file=sys.stderr)
        sys.exit(2)
    build = pathlib.Path(sys.argv[1]).resolve()
    if not (build / "sonde_kernel_tests").is_file():
        print(f"matrix.py: {build} has no sonde_kernel_tests: build it first", file=sys.stderr)
        sys.exit(2)
    cells = []
    for name in sys.argv[2:] or CELLS:
        cell = run_cell(name, build)
        cells.append(cell)
        print(f"matrix.py: {name}: {cell.passed} passed, {len(cell.failed)} failed, {cell.seconds:.0f} s",
              file=sys.stderr, flush=True)
    print(table(cells))
    sys.exit(any(cell.status != 0 or cell.failed or cell.complaints or cell.passed == 0 for cell in cells))


if __name__ == "__main__":
    main()
