#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""go_calls.py SONDE [--kills N] VERSION...: is a Go program the same with sonde as without, and are its calls counted?

The program in go_calls/ makes 10,000 goroutines whose stacks grow and move during calls, that change threads, and that
panic; it says how often it called what, and a checksum of all that it computed. For each toolchain it is built as vendors
do (no symbols) and runs
  - alone: the checksum that is to come out,
  - while sonde times its functions: the same checksum, each call counted once, or, where it ended by a panic, not at all,
  - while sonde is started and killed (SIGKILL) at random moments, N times in all (default 40): the same checksum.
Needs root. Exit status: 0 all as it should be, 1 not, 77 no toolchain could be had.
"""
import argparse
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # nothing generated into the source tree

import go_build

WORK = 100  # 10,000 goroutines
# Those that are called often enough to be let go are left out, but for one.
FUNCTIONS = ("main.moves", "main.recovers", "main.panics", "main.sleeps", "main.exchange")
SLEEP_S = 0.02


class Program:
    """Started, and waiting to be told to work."""

    def __init__(self, path):
        self.process = subprocess.Popen([path, str(WORK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def begin(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"checksum": f"none: exit status {self.process.wait()}"}

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def start_sonde(sonde, program):
    command = [sonde, "trace", "--budget", "0", "-o", "json"]
    for function in FUNCTIONS:
        command += ["--uprobe", f"{program.process.pid}:{function}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def traced(sonde, path):
    """(the program's result, sonde's document)"""
    program = Program(path)
    tracer = start_sonde(sonde, program)
    while not (line := tracer.stderr.readline()).startswith("tracing "):
        if not line:
            raise AssertionError("sonde did not start: " + tracer.stderr.read())
    program.begin()
    result = program.result()
    tracer.send_signal(2)
    document = json.loads(tracer.stdout.read())
    tracer.wait()
    program.end()
    return result, document


def wrong_counts(result, document):
    seen = {h["labels"]["call"]: h for h in document["histograms"]}
    want = dict(result["calls"])
    want["main.panics"] -= result["panicked"]
    for function in FUNCTIONS:
        count = seen.get(function, {"count": 0})["count"]
        if count != want[function]:
            yield f"{function}: {count} calls, the program made {want[function]} that returned"
    least = seen["main.sleeps"]["min"] if "main.sleeps" in seen else 0
    if least < SLEEP_S:
        yield f"main.sleeps: {least} s, it sleeps {SLEEP_S}"
    # A call that a panic ended looks like one under way, until another takes its place.
    left = sum(g["value"] for g in document.get("gauges", []) if g["name"] == "sonde_client_calls_in_flight")
    for probe in document["probes"]:
        lost = {reason: n for reason, n in probe["discarded"].items() if not reason.startswith("not seen returning")}
        if lost or sum(probe["discarded"].values()) + left != result["panicked"]:
            yield (f"discarded: {probe['discarded']}, still under way {left}, "
                   f"{result['panicked']} calls ended by a panic")


def killed(sonde, path, times):
    """The checksums of as many runs as it takes to kill sonde so many times while the program works."""
    checksums = []
    kills = 0
    while kills < times:
        program = Program(path)
        program.begin()
        while not select.select([program.process.stdout], [], [], 0)[0] and kills < times:
            tracer = start_sonde(sonde, program)
            # Every other one is killed once its probes are in place, the others at any time of its start.
            if kills % 2 == 0:
                tracer.stderr.readline()
            time.sleep(random.uniform(0, 0.12))
            tracer.kill()
            tracer.communicate()
            kills += 1
        checksums.append(program.result()["checksum"])
        program.end()
    return checksums


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sonde")
    parser.add_argument("versions", nargs="+")
    parser.add_argument("--kills", type=int, default=40)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("needs root")
        return 77
    failures, tried = 0, 0
    with tempfile.TemporaryDirectory(prefix="sonde-go-") as folder:
        for version in arguments.versions:
            path = Path(folder) / f"calls-{version}"
            goroot = go_build.toolchain(version)
            if goroot is None:
                continue
            go_build.build(goroot, "go_calls", path, ["-trimpath", "-ldflags", "-s -w"])
            tried += 1
            alone = Program(path)
            alone.begin()
            truth = alone.result()
            alone.end()
            result, document = traced(arguments.sonde, path)
            wrong = [*wrong_counts(result, document)]
            after_kills = [("killed", each) for each in killed(arguments.sonde, path, arguments.kills)]
            for what, checksum in [("traced", result["checksum"]), *after_kills]:
                if checksum != truth["checksum"]:
                    wrong.append(f"{what}: checksum {checksum} instead of {truth['checksum']}")
            calls = sum(truth["calls"][function] for function in FUNCTIONS)
            print(f"go {version:8} {calls} calls, {arguments.kills} kills in {len(after_kills)} runs: "
                  f"{len(wrong)} things wrong", flush=True)
            for line in wrong:
                print("    " + line)
            failures += len(wrong)
    if tried == 0:
        print(go_build.NOTHING)
        return 77
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
