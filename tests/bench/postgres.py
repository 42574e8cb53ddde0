# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of its own, and pgbench against it: a load as it is, with work between its waits."""

import re
import shutil
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tools import NotRun
from workloads import FIRST, Sample, Workload, run

USER = "postgres"  # the server refuses to run as root
CLIENTS = 8
SCALE = 10  # 150 MB: stays in memory
# A commit does not wait for the disk: how long that takes differs more from run to run than what is measured here.
SETTINGS = "-c synchronous_commit=off -c shared_buffers=256MB -c max_wal_size=4GB -c autovacuum=off -c jit=off"


def program(name):
    """Debian keeps the server's programs out of the search path, by version."""
    found = shutil.which(name) or max(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), default=None)
    if found is None:
        raise NotRun(f"{name} not found")
    return found


def as_user(*command):
    return run(["runuser", "-u", USER, "--", *command])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextmanager
def server():
    """The options with which pgbench reaches it."""
    with tempfile.TemporaryDirectory(prefix="sonde-bench-", dir="/var/tmp") as folder:
        shutil.chown(folder, USER)
        data, port = f"{folder}/data", free_port()
        as_user(program("initdb"), "--no-sync", "--auth=trust", "-D", data)
        control = [program("pg_ctl"), "-D", data, "-l", f"{folder}/log", "-w"]
        as_user(*control, "-o", f"-p {port} -h 127.0.0.1 -k {folder} {SETTINGS}", "start")
        try:
            reach = ["-h", "127.0.0.1", "-p", port, "-U", USER, "postgres"]
            as_user(program("pgbench"), "--initialize", "--quiet", f"--scale={SCALE}", *reach)
            yield reach
        finally:
            as_user(*control, "-m", "immediate", "stop")


def run_pgbench(seconds, reach):
    """One operation is a transaction: some five statements and a commit."""
    output = run([*FIRST, program("pgbench"), "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", "--jobs=1",
                  f"--time={max(1, round(seconds))}", *reach])  # fmt: skip
    count = int(re.search(r"^number of transactions actually processed: (\d+)", output, re.M)[1])
    per_second = float(re.search(r"^tps = ([0-9.]+)", output, re.M)[1])
    return Sample(count, 1e9 / per_second, 1e9 / per_second)


def workload(database):
    """`database`: a function that tells how to reach a server, or raises NotRun."""
    return Workload("postgresql", "sched,block,tcp", "wall_ns", lambda seconds: run_pgbench(seconds, database()))
