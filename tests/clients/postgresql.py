#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""postgresql.py SONDE: does sonde time PostgreSQL's calls as the server itself and pgbench do?

What: starts a server of its own (Debian's packages), and pgbench's transactions, as simple queries and as prepared ones.
      pgbench connects and is held by a lock on its largest table until sonde traces: counts must be exact. The server's
      times of execution and of syncs, and pgbench's of its statements, are the truth for sums.
Usage: postgresql.py SONDE [--only simple|prepared]
Exit:  0 as it should be, 1 not, 77 there is no PostgreSQL. Needs root.
Limits: what pgbench sees of a statement is more than its execution: the way there and back (taken from BEGIN, which is
      little else), and a CPU that both share.
"""
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager

sys.dont_write_bytecode = True  # nothing generated into the source tree

import client_test
import programs
import started
from rows import exact, within
from traced import MS, Traced, above, below, no_discards

USER = "postgres"  # the server refuses to run as root
FOLDERS = "usr/lib/postgresql/*/bin"
CLIENTS, TRANSACTIONS, SCALE = 2, 1000, 5
STATEMENTS = 7  # of a transaction: BEGIN, five that do something, END
SETTINGS = {"listen_addresses": "", "fsync": "on", "autovacuum": "off", "jit": "off", "max_wal_size": "4GB",
            "shared_buffers": "256MB", "shared_preload_libraries": "pg_stat_statements", "track_wal_io_timing": "on",
            "checkpoint_timeout": "1d", "bgwriter_lru_maxpages": "0"}  # fmt: skip
PROBE_NS = 10_000  # what probes, and now and then a while without a CPU, may add to a call on average
PGBENCH = "pgbench_(accounts|tellers|branches|history)"


class Server:
    def __init__(self, name, folder, port):
        self.name = name
        self.reach = ["-h", folder, "-p", str(port), "-U", USER, "postgres"]

    def ask(self, query):
        """The rows of a query, each a list of text."""
        command = [programs.debian_program("psql", "postgresql-client"), "-XAtq", "-F", "\t", "-c", query, *self.reach]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [line.split("\t") for line in answer.splitlines()]

    @contextmanager
    def locked(self, table):
        """Nobody gets at the table until what this gives is called. It breaks the connection: to end the transaction would
        be a statement."""
        command = [programs.debian_program("psql", "postgresql-client"), "-Xq", *self.reach]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as psql:
            psql.stdin.write(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n\\echo locked\n")
            psql.stdin.flush()
            try:
                assert psql.stdout.readline() == "locked\n"
                yield psql.kill
            finally:
                psql.kill()


@contextmanager
def server():
    with tempfile.TemporaryDirectory(prefix="sonde-postgresql-", dir="/var/tmp") as folder:
        shutil.chown(folder, USER)
        initdb = programs.debian_program("initdb", "postgresql", FOLDERS)
        subprocess.run(["runuser", "-u", USER, "--", initdb, "--no-sync", "--auth=trust", "-D", f"{folder}/data"], check=True,
                       capture_output=True, cwd=folder)  # fmt: skip
        port = started.free_port()
        program = programs.debian_program("postgres", "postgresql", FOLDERS)
        command = [program, "-D", f"{folder}/data", "-p", port, "-k", folder]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        ready = [programs.debian_program("pg_isready", "postgresql-client"), "-q", "-h", folder, "-p", str(port)]
        with started.started(command, lambda: subprocess.run(ready, check=False).returncode == 0, user=USER,
                             stop=signal.SIGINT, folder=folder) as process:  # fmt: skip
            yield Server(process.name, folder, port)


def run_pgbench(options, protocol, asked):
    """(pgbench's output, sonde's trace)"""
    program = programs.debian_program("pgbench", "postgresql-client")
    subprocess.run([program, "-iq", f"--scale={SCALE}", *asked.reach], check=True, capture_output=True)
    asked.ask("CREATE EXTENSION pg_stat_statements; CHECKPOINT; SELECT pg_stat_statements_reset()")
    command = [program, "-n", "-r", "-M", protocol, f"--client={CLIENTS}", f"--jobs={CLIENTS}", f"-t{TRANSACTIONS}",
               *asked.reach]  # fmt: skip
    waiting = "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND application_name = 'pgbench'"
    with asked.locked("pgbench_accounts") as unlock, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pgbench:
        try:
            started.wait_for(lambda: len(asked.ask(waiting)) == CLIENTS, "pgbench to wait")
            asked.ask("SELECT pg_stat_reset_shared('wal')")
            with Traced(options.sonde, "postgresql", asked.name) as trace:
                unlock()
                output = pgbench.communicate()[0]
        finally:
            pgbench.kill()
    return output, trace


def measure(options, protocol):
    with server() as asked:
        output, trace = run_pgbench(options, protocol, asked)
        executed = asked.ask(f"SELECT sum(calls), sum(total_exec_time) FROM pg_stat_statements WHERE query ~ '{PGBENCH}' "
                             "AND query ~ '^(UPDATE|SELECT abalance|INSERT)'")[0]  # fmt: skip
        synced = asked.ask("SELECT wal_sync, wal_sync_time FROM pg_stat_wal")[0]
    name = f"postgresql {protocol}"
    done = int(re.search(r"^number of transactions actually processed: (\d+)", output, re.M)[1])
    ns = {statement: float(ms) * MS for ms, statement in re.findall(r"^ +([0-9.]+) +\d+  (BEGIN|END);$", output, re.M)}
    ns["all"] = float(re.search(r"^latency average = ([0-9.]+) ms", output, re.M)[1]) * MS
    way_ns = 3 * ns["BEGIN"]
    # Of each client, BEGIN was before the trace.
    yield exact(name, "statement, calls", STATEMENTS * done - CLIENTS, "pgbench", trace["statement"].count)
    yield below(name, "statement and commit, sum", ns["all"] * done, "pgbench",
                trace["statement"].sum_ns + trace["commit"].sum_ns, STATEMENTS * done * way_ns)  # fmt: skip
    yield exact(name, "executor, calls", int(executed[0]), "pg_stat_statements", trace["executor"].count)
    yield above(name, "executor, sum", float(executed[1]) * MS, "pg_stat_statements", trace["executor"].sum_ns,
                trace["executor"].count * PROBE_NS)  # fmt: skip
    yield exact(name, "wal_flush, calls", done, "pgbench", trace["wal_flush"].count)
    yield below(name, "wal_flush, sum", ns["END"] * done, "pgbench: END", trace["wal_flush"].sum_ns, done * way_ns)
    # What the WAL writer did before, it may have told the server since.
    yield within(name, "wal_fsync, calls", int(synced[0]), "pg_stat_wal", trace["wal_fsync"].count, 0.002, unit="")
    truth = float(synced[1]) * MS
    yield below(name, "wal_fsync, sum", truth, "pg_stat_wal", trace["wal_fsync"].sum_ns,
                0.02 * truth + trace["wal_fsync"].count * PROBE_NS)  # fmt: skip
    # pgbench waited for the lock within them: transaction, query text, look-up of names and what those are made of.
    yield no_discards(name, trace, allowed=5 * CLIENTS)


if __name__ == "__main__":
    sys.exit(client_test.main(__doc__, [(name, lambda options, name=name: measure(options, name))
                                        for name in ("simple", "prepared")]))  # fmt: skip
