# SPDX-License-Identifier: Apache-2.0
"""Other tracers on the same run. They decide nothing: each has errors of its own, and the more tracers there are, the
more each of them sees of the others."""

import os
import re
import tempfile
from pathlib import Path

from loads import fresh_name, run
from rows import NotHere, witness
from tracing import Trace

TRACEFS = Path("/sys/kernel/tracing")


def with_tracefs(*command):
    """A command that finds the tracepoints, in a mount namespace of its own where the host has them not mounted."""
    if (TRACEFS / "events").is_dir():
        return command
    return ("unshare", "-m", "sh", "-c", f'mount -t tracefs tracefs {TRACEFS} && exec "$@"', "sh", *command)


def perf_and_bpftrace(setting):
    script = str(Path(__file__).with_name("runqlat.bt"))
    run("perf", "--version")
    for scenario, cpus in (("the same run, one CPU", "0"), ("the same run, two CPUs", "0,1")):
        if len(cpus) > 1 and (os.cpu_count() or 1) < 2:
            raise NotHere("needs a second CPU")
        name = fresh_name()
        load = f"{setting.load} pipe --cpus {cpus} --count 20000 --comm {name}"
        with tempfile.NamedTemporaryFile(prefix="sonde-truth-perf-") as data:
            with Trace(setting.sonde, "--probes", "sched", "--comm", name) as trace:
                text = run(*with_tracefs("perf", "sched", "record", "-o", data.name, "--", "bpftrace", "-c", load, script,
                                         name))  # fmt: skip
            history = run("perf", "sched", "timehist", "-i", data.name)
        all_waits = trace.histogram("sched_runq_latency", process=name)
        found = re.search(r"@waits: count (\d+), average (\d+), total (\d+)", text)
        if not found:
            raise NotHere(f"bpftrace printed no counts: {text[-200:]}")
        count, _, total = map(int, found.groups())
        yield witness(scenario, "waits", count, "bpftrace", all_waits.count, unit="")
        yield witness(scenario, "waits, mean", total / count, "bpftrace", all_waits.sum_ns / all_waits.count)
        # One line per slice: the wait after a wakeup is its fifth column, in ms.
        delays = [float(ms) * 1e6 for ms in re.findall(rf" {name}\[\S+\s+[0-9.]+\s+([0-9.]+)", history)]
        woken = trace.histogram("sched_runq_latency", process=name, cause="woken")
        yield witness(scenario, "waits after sleep, sum", sum(delays), "perf sched timehist", woken.sum_ns)


SCENARIOS = (perf_and_bpftrace,)
