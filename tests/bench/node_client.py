# SPDX-License-Identifier: Apache-2.0
"""A node client as its vendor builds it, large and stripped: how soon its calls are traced, with how much memory, and what
that takes from a load of transactions and eth_call.

The node is a geth with a chain of its own, of tests/clients. Each request waits for the answer to the one before.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measures import compare, spread
from report import progress
from tools import NotRun, sonde_calls, start

sys.path.append(str(Path(__file__).resolve().parents[1] / "clients"))
import geth  # noqa: E402
import json_rpc  # noqa: E402
import programs  # noqa: E402
import started  # noqa: E402

STORES, TRANSACTIONS, ETH_CALLS = 20, 200, 2000
TRACE = ("--client", "geth")  # options of `sonde trace`: the catalog's calls of all geths of the host
MIN_ROUNDS = 7


@dataclass(frozen=True)
class Node:
    pid: int
    port: int
    connection: object
    contract: object

    def cpu_ns(self):
        """Of all its threads, as clock_getcpuclockid(3) names the clock of a process."""
        return time.clock_gettime_ns(~self.pid << 3 | 2)

    def load(self):
        """What one run costs, in ns: the time per request of all, the inverse of the throughput; the slowest hundredth; what
        the node computes per request."""
        stored = self.contract.count(self.connection)
        begin, cpu_ns = time.perf_counter(), self.cpu_ns()
        seconds = json_rpc.load(self.port, self.contract, STORES, TRANSACTIONS, ETH_CALLS)
        elapsed = time.perf_counter() - begin
        stored += TRANSACTIONS * STORES
        started.wait_for(lambda: self.contract.count(self.connection) == stored, "the transactions to be in blocks")
        calls = sorted(seconds["eth_call"])
        requests = TRANSACTIONS + ETH_CALLS
        return {"time per request": elapsed * 1e9 / requests, "p99 of eth_call": calls[int(len(calls) * 0.99)] * 1e9,
                "CPU time of the node per request": (self.cpu_ns() - cpu_ns) / requests}  # fmt: skip


@contextmanager
def running_node():
    with tempfile.TemporaryDirectory(prefix="sonde-bench-") as folder:
        try:
            node = geth.Geth(programs.go_program(geth.PACKAGE, geth.VERSION, geth.RELEASE), folder)
        except programs.NotHere as reason:
            raise NotRun(reason) from reason
        with started.started(node.command, node.ready) as process:
            connection = json_rpc.Node(node.http)
            yield Node(process.pid, node.http, connection, json_rpc.Contract(connection))


def start_once(command):
    """(seconds from exec until it traces, bytes of its peak memory and of that of the largest of its children)"""
    begin = time.monotonic()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=subprocess.PIPE, text=True)
    said = []
    for line in process.stderr:
        if line.startswith("tracing "):
            break
        said.append(line)
    else:
        raise NotRun(f"exit status {process.wait()}: {said[-1] if said else 'nothing'}")
    seconds = time.monotonic() - begin
    own = int(re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)[1]) << 10
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)  # of it and of the children that it has waited for, whichever is largest
    process.returncode = os.waitstatus_to_exitcode(status)
    return seconds, own, usage.ru_maxrss << 10


def measure_attach(build_dir, runs):
    """The peak is that of sonde and that of the largest of its children, as if both were at once."""
    command = sonde_calls(build_dir, *TRACE).argv()
    seconds, peaks = [], []
    for _ in range(runs):
        took, own, largest = start_once(command)
        seconds.append(took)
        peaks.append(own + largest if largest > own else own)
    return {"seconds": spread(seconds), "peak_bytes": spread(peaks)}


def measure_load(node, build_dir, rounds):
    """(figure, tool) -> Comparison, and what sonde said of its probes in the last round. Untraced runs with their neighbours
    are the noise. A load goes before each traced run, so that sonde has let go by then of what is over its budget."""
    commands = {"sonde": TRACE, "sonde --budget 0": (*TRACE, "--budget", "0")}
    node.load()  # until its caches are warm
    untraced, traced = [node.load()], {name: [] for name in commands}
    said = {}
    for number in range(rounds):
        progress(f"node-load: round {number + 1} of {rounds}")
        for name, options in commands.items():
            with start(sonde_calls(build_dir, *options)) as running:
                node.load()
                costs = node.load()
            untraced.append(node.load())
            traced[name].append((untraced[-2], costs, untraced[-1]))
            said[name] = "; ".join(probe["reason"] for probe in json.loads(running.printed)["probes"] if probe.get("reason"))
    rows = traced | {"untraced": [*zip(untraced, untraced[1:], untraced[2:])]}
    return {(figure, name): compare([[run[figure] for run in row] for row in rows[name]])
            for figure in untraced[0] for name in rows}, said  # fmt: skip
