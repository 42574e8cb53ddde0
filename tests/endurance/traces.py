# SPDX-License-Identifier: Apache-2.0
"""A running `sonde trace`: what it prints and what it uses, document by document."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema

from kernel_maps import kernel_objects

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))
import schema_test  # noqa: E402

SCHEMA = json.loads((ROOT / "userspace/export/schema/trace-1.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
# The schema takes a millisecond per series: of a document with thousands, it sees so many, drawn at random. What the
# schema cannot say is checked of all.
SERIES_PER_DOCUMENT = 40
# A difference of two counters of which the later is lower; nothing that is counted comes near.
IMPOSSIBLE = 1 << 62
CLOCK_TICK_SEC = 1 / os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    """Of the process, when it has printed a document."""

    at: float
    rss: int  # without the windows on BPF maps, which come and go
    fds: int
    cpu_sec: float
    held: dict
    series: int


@dataclass
class Account:
    """Sums over all documents."""

    events: Counter = field(default_factory=Counter)  # (metric, label value of cause or reason, is of the load)
    connections: Counter = field(default_factory=Counter)  # (metric, port)
    discarded: Counter = field(default_factory=Counter)  # (measurement, reason)
    documents: int = 0
    duration: float = 0
    seen: dict = field(default_factory=lambda: defaultdict(list))  # process name -> numbers of documents
    names: set = field(default_factory=set)  # of all processes
    reasons: set = field(default_factory=set)

    def add(self, document, own_prefix):
        self.documents += 1
        self.duration += document["duration_s"]
        for probe in document["probes"]:
            self.reasons.add(f"{probe['measurement']}: {probe['status']} {probe['reason']}")
            for reason, n in probe["discarded"].items():
                self.discarded[(probe["measurement"], reason)] += n
        for series in document["histograms"]:
            labels = series["labels"]
            if "process" in labels:
                name = labels["process"]
                own = name.startswith(own_prefix)
                self.names.add(name)
                if own and self.seen[name][-1:] != [self.documents]:
                    self.seen[name].append(self.documents)
                kind = labels.get("cause", labels.get("reason", ""))
                whose = "own" if own else "other" if name == "other" else "foreign"
                self.events[(series["name"], kind, whose)] += series["count"]
                if own and name == own_prefix + "-cg":
                    self.events[(series["name"], kind, name)] += series["count"]
            elif "port" in labels:
                self.connections[(series["name"], labels["port"])] += series["count"]
        for counter in document["counters"]:
            if "port" in counter["labels"]:
                self.connections[(counter["name"], counter["labels"]["port"])] += counter["value"]

    def count(self, metric, kind=None, whose=("own",)):
        return sum(n for (name, of, owner), n in self.events.items()
                   if name == metric and owner in whose and (kind is None or of == kind))

    def discards(self, measurement):
        return sum(n for (of, _), n in self.discarded.items() if of == measurement)


class Trace:
    """As a context manager: traces when the body begins. finish() ends it with SIGTERM: a shell's
    background jobs are made to ignore SIGINT, and pass that on."""

    def __init__(self, name, sonde, arguments, own_prefix="soak", output="json"):
        self.name = name
        self.output = output
        self.account = Account()
        self.samples = []
        self.failures = []
        self.text_tables = 0
        self._ending = False
        self._prefix = own_prefix
        self._argv = [str(sonde), "trace", "-o", output, *arguments]
        self._tracing = threading.Event()
        self._stderr = []
        self._random = random.Random(1)

    def __enter__(self):
        self.process = subprocess.Popen(self._argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        encoding="utf-8", stdin=subprocess.DEVNULL)
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_stdout, self._read_stderr)]
        for reader in self._readers:
            reader.start()
        if not self._tracing.wait(30):
            self.process.kill()
            raise RuntimeError(f"{self.name}: does not trace: {''.join(self._stderr)}")
        self.start_sec = time.monotonic()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def fail(self, what):
        self.failures.append(f"{self.name}: {what}")

    def _read_stderr(self):
        for line in self.process.stderr:
            self._stderr.append(line)
            if line.startswith("tracing "):
                self._tracing.set()

    def _read_stdout(self):
        for line in self.process.stdout:
            if self.output == "text":
                self.text_tables += line.startswith("sonde trace: host ")
                if line.startswith("sonde trace: host "):
                    self.sample(0)
                continue
            try:
                document = json.loads(line)
            except ValueError as error:
                self.fail(f"not JSON: {error}")
                continue
            self.sample(len(document["histograms"]))
            self.account.add(document, self._prefix)
            self._check(document)

    def _check(self, document):
        number = self.account.documents
        values = [(s["name"], s["count"]) for s in document["histograms"]]
        values += [(c["name"], c["value"]) for c in document["counters"]]
        for probe in document["probes"]:
            values += [(probe["measurement"], probe["events"]), *probe["discarded"].items()]
        for name, value in values:
            if value >= IMPOSSIBLE:
                self.fail(f"document {number}: {name} went down: {value}")
        for failure in list(schema_test.meaning_failures(document))[:3]:
            self.fail(f"document {number}: {failure}")
        series = document["histograms"]
        document["histograms"] = self._random.sample(series, min(len(series), SERIES_PER_DOCUMENT))
        for failure in list(schema_test.schema_failures(VALIDATOR, document))[:3]:
            self.fail(f"document {number}: {failure}")

    def sample(self, series):
        """Notes what the process uses now; nothing once it is to end."""
        if self._ending:
            return
        proc = Path(f"/proc/{self.process.pid}")
        try:
            status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
            stat = (proc / "stat").read_text().rpartition(")")[2].split()
            fds = len(list((proc / "fd").iterdir()))
            held, _ = kernel_objects(self.process.pid)
            self.samples.append(Sample(time.monotonic(), int(status["RssAnon"].split()[0]) << 10, fds,
                                       (int(stat[11]) + int(stat[12])) * CLOCK_TICK_SEC, held, series))
        except (FileNotFoundError, ProcessLookupError, KeyError):
            return

    def finish(self, expected_status=0, send=signal.SIGTERM):
        self._ending = True
        if send is not None:
            self.process.send_signal(send)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.fail("does not end")
            return
        for reader in self._readers:
            reader.join(60)
        if status != expected_status:
            self.fail(f"exit status {status} instead of {expected_status}")
        unexpected = [line for line in self._stderr if not line.startswith("tracing ")]
        if unexpected:
            self.fail(f"on stderr: {''.join(unexpected)[:500]}")
