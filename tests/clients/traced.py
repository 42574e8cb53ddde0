# SPDX-License-Identifier: Apache-2.0
"""What `sonde trace --client` says of a client's calls, and rows that compare it with what the client and its load say.

What: `with Traced(sonde, "geth", name) as trace: the load`; then trace["block_import"] is a histogram, of processes of this
      name, and trace.histograms() has all: (client, process, call) -> histogram. Calls are named as in
      userspace/catalog/clients.
Limits: sonde traces all processes of the host that are this client. What it says of its probes as a whole, as what it could
        not measure, is of all.
"""
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "truth"))
from rows import Row  # noqa: E402
from tracing import Histogram, Trace  # noqa: E402

NS = 1e9  # of a second
MS = 1e6  # ns of a millisecond


class Traced(Trace):
    """`calls`: which of the catalog; those that are not hot if none are named. `budget`: how much the probes may cost the
    process, in percent of a CPU, before some are let go; no limit if none is named."""

    def __init__(self, sonde, client, process, calls=(), budget=0):
        super().__init__(sonde, "--client", client, "--budget", str(budget),
                         *(word for call in calls for word in ("--calls", call)))  # fmt: skip
        # It ends with the test, should that be killed.
        self.command = ["setpriv", "--pdeathsig", "TERM", "--", *self.command]
        self.labels = {"client": client, "process": process}

    def histograms(self):
        found = {}
        for document in self.document["histograms"]:
            labels = document["labels"]
            if document["name"] == "sonde_client_call_seconds":
                found.setdefault((labels["client"], labels["process"], labels["call"]), Histogram()).add(document)
        return found

    def __getitem__(self, call):
        return self.histogram("client_call", call=call, **self.labels)

    def events(self, event):
        return self.counter("client_events", event=event, **self.labels)

    def said(self, what):
        """How often the states of the probes say so."""
        return sum(probe["reason"].count(what) for probe in self.document["probes"])

    def discards(self):
        """Calls that were seen and not measured: reason -> how many."""
        total = {}
        for probe in self.document["probes"]:
            for reason, count in probe["discarded"].items():
                total[reason] = total.get(reason, 0) + count
        return total


def calls_of(sonde, pid):
    """Of a process that is a client: call of the catalog -> why sonde does not time it, or nothing if it does."""
    text = subprocess.run([sonde, "clients", "-o", "json"], check=True, capture_output=True, text=True).stdout
    for client in json.loads(text)["clients"]:
        if pid in client["pids"]:
            return {call["call"]: call["why"] for call in client["calls"]}
    raise RuntimeError(f"sonde clients does not know process {pid}")


@dataclass(frozen=True)
class Between(Row):
    """`truth` is of a longer or shorter stretch than sonde's number, which must be on its side and near."""

    least: float = 0.0
    most: float = 0.0

    @property
    def verdict(self):
        return "ok" if self.least <= self.sonde <= self.most else "WRONG"


def below(scenario, statistic, truth, source, sonde, near, unit="ns"):
    """sonde's is a part of `truth`: no more than that, and less by no more than `near`."""
    return Between(scenario, statistic, unit, truth, source, sonde, near, truth - near, truth)


def above(scenario, statistic, truth, source, sonde, near, unit="ns"):
    """`truth` is a part of sonde's: no less than that, and more by no more than `near`."""
    return Between(scenario, statistic, unit, truth, source, sonde, near, truth, truth + near)


def no_discards(scenario, trace, allowed=0):
    """Nothing was seen that was not measured, but for `allowed` calls."""
    discards = trace.discards()
    return Row(scenario, "calls not measured", "", 0, ", ".join(discards) or "exact", sum(discards.values()), allowed)
