# SPDX-License-Identifier: Apache-2.0
"""Off-CPU reasons: programs that wait for one thing only, and how long they say that they waited."""

import os
import tempfile

from loads import fresh_name, run_load
from rows import NotHere, within
from tracing import Trace

SHARE = 0.02  # of the waiting time may have another reason

# load of sonde-load, its options, the reason
LOADS = (
    ("futex", (), "lock"),
    ("sleep", (), "sleep"),
    ("recv", (), "network"),
    ("recv", ("--unix",), "network"),
    ("poll", (), "network"),
    ("read-pipe", (), "other"),
    ("ring", (), "other"),
)
DISK_LOADS = (("direct-read", (), "disk"), ("fsync", ("--overwrite",), "disk"), ("mmap-fault", (), "fault"))


def one_reason(setting, load, options, reason):
    name = fresh_name()
    with Trace(setting.sonde, "--probes", "sched", "--comm", name) as trace:
        account = run_load(setting, load, "--seconds", 2, "--comm", name, *options)
    scenario = f"waits of {' '.join([load, *[option for option in options if option == '--unix']])}"
    waited = trace.histogram("sched_offcpu", process=name)
    of_reason = trace.histogram("sched_offcpu", process=name, reason=reason)
    yield within(scenario, f"share of '{reason}'", 1, "what it does", of_reason.sum_ns / waited.sum_ns, 0, SHARE, "share")
    elapsed = sum(task["elapsed_ns"] for task in account["tasks"] if task["role"].startswith("waiter"))
    states = [trace.histogram(f"sched_{state}", process=name).sum_ns for state in ("oncpu", "runq_latency", "offcpu")]
    # Before its loop begins and after it has ended, the program is there, too.
    outside_ns = 100_000_000 if setting.slow else 10_000_000
    yield within(scenario, "all states, sum", elapsed, "its own clock", sum(states), 0.01, outside_ns)


def one_thing_only(setting):
    for load in LOADS:
        yield from one_reason(setting, *load)


def disk_only(setting):
    """On a real disk: one in memory answers before the program is off the CPU."""
    if setting.disk:
        for load in DISK_LOADS:
            yield from one_reason(setting, load[0], ("--file", setting.disk, *load[1]), load[2])
        return
    if not os.path.isdir(setting.folder):
        raise NotHere(f"no folder {setting.folder}, and no --disk")
    with tempfile.NamedTemporaryFile(prefix="sonde-truth-", dir=setting.folder) as file:
        file.write(os.urandom(64 << 20))
        file.flush()
        os.fsync(file.fileno())
        for load in DISK_LOADS:
            yield from one_reason(setting, load[0], ("--file", file.name, *load[1]), load[2])


SCENARIOS = (one_thing_only, disk_only)
