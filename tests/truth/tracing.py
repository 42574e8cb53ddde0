# SPDX-License-Identifier: Apache-2.0
"""Runs sonde around a scenario, and reads its document."""

import json
import math
import os
import select
import subprocess
import time
from dataclasses import dataclass, field

START_TIMEOUT_SEC = 60  # an emulated CPU takes its time
SUB_BUCKETS = 16  # schema 4


@dataclass
class Histogram:
    """Several histograms of one measurement, added up. Times in ns."""

    count: int = 0
    sum_ns: float = 0.0
    min_ns: float = math.inf
    max_ns: float = 0.0
    buckets: dict = field(default_factory=dict)
    zero_count: int = 0

    def add(self, document):
        self.count += document["count"]
        self.sum_ns += document["sum"] * 1e9
        self.min_ns = min(self.min_ns, document["min"] * 1e9 if document["count"] else math.inf)
        self.max_ns = max(self.max_ns, (document["max"] or 0) * 1e9)
        self.zero_count += document["zero_count"]
        for index, count in document["buckets"]:
            self.buckets[index] = self.buckets.get(index, 0) + count

    def quantile_ns(self, q):
        """The middle of the bucket with that rank, which is off by no more than half of a bucket."""
        rank = math.ceil(q * self.count)
        seen = self.zero_count
        if seen >= rank:
            return 0.0
        for index in sorted(self.buckets):
            seen += self.buckets[index]
            if seen >= rank:
                return 2 ** ((index - 0.5) / SUB_BUCKETS) * 1e9
        raise ValueError("an empty histogram has no quantiles")

    def above(self, ns):
        """The values above `ns`, which must not be near to any: their count and quantiles, not their sum."""
        buckets = {index: count for index, count in self.buckets.items() if 2 ** ((index - 1) / SUB_BUCKETS) * 1e9 >= ns}
        return Histogram(count=sum(buckets.values()), buckets=buckets)


class Trace:
    """`with Trace(sonde, options...) as trace: the scenario`; then `trace` has the document."""

    def __init__(self, sonde, *options):
        self.command = [str(sonde), "trace", "-o", "json", *options]
        self.document = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.set_blocking(self.process.stderr.fileno(), False)
        said = b""
        end = time.monotonic() + START_TIMEOUT_SEC
        while b"tracing" not in said:
            select.select([self.process.stderr], [], [], 0.5)
            said += self.process.stderr.read() or b""
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise RuntimeError(f"{' '.join(self.command)}: {said.decode(errors='replace').strip() or 'no answer'}")
        self.start_ns = time.monotonic_ns()
        return self

    def __exit__(self, exception_type, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.end_ns = time.monotonic_ns()
        out, err = self.process.communicate()
        if exception_type is None:
            if self.process.returncode != 0:
                raise RuntimeError(f"{' '.join(self.command)}: status {self.process.returncode}: {err.decode()}")
            self.document = json.loads(out)

    def histogram(self, name, **labels):
        total = Histogram()
        for document in self.document["histograms"]:
            if document["name"] == f"sonde_{name}_seconds" and labels.items() <= document["labels"].items():
                total.add(document)
        return total

    def counter(self, name, **labels):
        return sum(
            counter["value"]
            for counter in self.document["counters"]
            if counter["name"] == f"sonde_{name}_total" and labels.items() <= counter["labels"].items()
        )

    def discarded(self, measurement):
        """All events of a measurement that were seen and not measured, whatever the reason."""
        return sum(sum(probe["discarded"].values()) for probe in self.document["probes"]
                   if probe["measurement"] == measurement)  # fmt: skip
