#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""redis.py SONDE: does sonde time Redis' calls as the server itself and redis-benchmark do?

What: starts a server of its own (Debian's packages), and redis-benchmark against it
      - with a script that computes and calls a command, and with a long list: the server's own statistics of its commands
        are the truth, and counts must be exact. What redis-benchmark sees of a request has sonde's in it;
      - with pipelined requests, more than sonde times: it is to let the function go, to say so, and to leave Redis alone.
Usage: redis.py SONDE [--program FILE] [--only script|list|pipelined]
Exit:  0 as it should be, 1 not, 77 there is no Redis. Needs root.
Limits: the requests that are compared take some 100 us each: sonde lets a function go that is called 20,000 times a second.
"""
import csv
import re
import subprocess
import sys

sys.dont_write_bytecode = True  # nothing generated into the source tree

import client_test
import programs
import started
from rows import exact
from traced import Traced, above, below, no_discards

CALLS = ("command", "request", "script")  # hot ones: Redis has hardly others
SCRIPT = "local x = 0 for i = 1, 20000 do x = x + i end return redis.call('hset', KEYS[1], x, x)"
REQUESTS = {
    "script": [10_000, "eval", SCRIPT, "1", "key"],
    "list": [12_000, "lrange", "list", "0", "-1"],
    "pipelined": [1_000_000, "-P", "16", "get", "nothing"],
}
PROBE_NS = 10_000  # what probes, and now and then a while without a CPU, may add to a call on average
WAY_NS = 500_000  # from redis-benchmark to the function and back


class Server:
    def __init__(self, port):
        self.reach = ["-h", "127.0.0.1", "-p", str(port)]

    def ask(self, *words):
        command = [programs.debian_program("redis-cli", "redis-tools"), *self.reach, *map(str, words)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def commands(self):
        """command -> (calls, ns) since the last CONFIG RESETSTAT, itself not."""
        found = re.findall(r"^cmdstat_(\S+):calls=(\d+),usec=(\d+)", self.ask("INFO", "commandstats"), re.M)
        return {name: (int(calls), int(usec) * 1000) for name, calls, usec in found if name != "config|resetstat"}


def run_benchmark(options, name):
    """(commandstats, the mean latency, sonde's trace)"""
    program = options.program or programs.debian_program("redis-server", "redis-server")
    benchmark = programs.debian_program("redis-benchmark", "redis-tools")
    port = started.free_port()
    command = [program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"]
    with started.started(command, lambda: started.accepts(port)) as process:
        server = Server(port)
        server.ask("RPUSH", "list", *range(2500))
        server.ask("CONFIG", "RESETSTAT")
        requests, *words = REQUESTS[name]
        with Traced(options.sonde, "redis", process.name, CALLS) as trace:
            output = subprocess.run([benchmark, *server.reach, "-c", "1", "--csv", "-n", str(requests), *words], check=True,
                                    capture_output=True, text=True).stdout  # fmt: skip
        result = [*csv.DictReader(output.splitlines())][0]
        return server.commands(), float(result["avg_latency_ms"]) * 1e6, trace


def measure(options, name):
    commands, latency_ns, trace = run_benchmark(options, name)
    requests, command = REQUESTS[name][0], REQUESTS[name][1]
    name = f"redis {name}"
    calls = sum(count for count, _ in commands.values())
    if command == "-P":
        yield exact(name, "requests", requests, "redis-benchmark", commands["get"][0])
        yield exact(name, "said: let go", 1, "20,000 calls per second", trace.said("let go"))
        yield below(name, "command, calls", calls, "commandstats", trace["command"].count, calls, unit="")
        return
    yield exact(name, "command, calls", calls, "commandstats", trace["command"].count)
    yield above(name, "command, sum", sum(ns for _, ns in commands.values()), "commandstats", trace["command"].sum_ns,
                calls * PROBE_NS)  # fmt: skip
    inner = commands.get("hset", (0, 0))[0]
    yield exact(name, "request, calls", calls - inner, "commandstats", trace["request"].count)
    yield exact(name, "script, calls", commands.get("eval", (0, 0))[0], "commandstats", trace["script"].count)
    mean_ns = trace["request"].sum_ns / max(1, trace["request"].count)
    yield below(name, "request, mean", latency_ns, "redis-benchmark", mean_ns, WAY_NS)
    yield no_discards(name, trace)


if __name__ == "__main__":
    sys.exit(client_test.main(__doc__, [(name, lambda options, name=name: measure(options, name)) for name in REQUESTS]))
