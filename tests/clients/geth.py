#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""geth.py SONDE: does sonde time the calls of a go-ethereum node as the node and its users do?

What: builds geth as `go install` does, without symbols, and as its releases are (linked by the C linker, stripped); starts
      each as a chain of its own (--dev), and traces it
      - while transactions that store and eth_calls come in: geth's own metrics of the same blocks are the truth. Counts must
        be exact. geth reads its clock within ProcessBlock, and around execution and validation;
      - while one eth_call comes behind another: the latency that their sender sees has sonde's in it.
Usage: geth.py SONDE [--program FILE] [--only plain|stripped|release]... [--fetch]
Exit:  0 as it should be, 1 not, 77 no geth could be had. Needs root.
Limits: --dev has no consensus client and no peers: blocks come as fast as transactions do, and nothing is reorganized.
"""
import json
import sys
import tempfile
import urllib.request

sys.dont_write_bytecode = True  # nothing generated into the source tree

import client_test
import json_rpc
import programs
import started
from rows import exact
from traced import Traced, above, below, no_discards

PACKAGE, VERSION = "github.com/ethereum/go-ethereum/cmd/geth", "v1.17.8"
# As go-ethereum's build/ci.go does.
RELEASE = ("release", ["-tags", "urfave_cli_no_docs,ckzg", "-trimpath", "-ldflags", "--buildid=none -extldflags "
                       "'-Wl,-z,stack-size=0x800000,--build-id=none,--strip-all'"])  # fmt: skip
TRANSACTIONS, STORES, ETH_CALLS = 800, 40, 1000  # geth's histograms are exact for up to 1,028 requests of a method
LONG_CALLS, LONG_STORES = 400, 300
# What may lie between geth's clock and sonde's: the price of a probe, and now and then a while without a CPU.
SHARE, PROBE_NS = 0.03, 200_000


class Metrics:
    """What geth says of itself since it was asked the last time."""

    def __init__(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/debug/metrics") as answer:
            self.values = json.load(answer)

    def count(self, *names):
        return sum(self.values[f"{name}.count"] for name in names)

    def sum_ns(self, *names):
        return sum(self.count(name) * self.values[f"{name}.mean"] for name in names)

    def methods(self):
        return [name.removesuffix(".count") for name in self.values
                if name.startswith("rpc/duration/") and name.endswith(("/success.count", "/failure.count"))]  # fmt: skip


class Geth:
    def __init__(self, program, folder):
        self.http, self.metrics = started.free_port(), started.free_port()
        # Fees grow from one full block to the next.
        self.command = [program, "--dev", "--dev.gaslimit", 60_000_000, "--rpc.txfeecap", 0, "--datadir", folder,
                        "--ipcdisable", "--http", "--http.port", self.http, "--metrics", "--metrics.addr", "127.0.0.1",
                        "--metrics.port", self.metrics]  # fmt: skip

    def ready(self):
        return json_rpc.answers(self.http) and started.accepts(self.metrics)


def blocks(options, name, geth, process, node, contract):
    before = json_rpc.blocks(node)
    Metrics(geth.metrics)
    with Traced(options.sonde, "geth", process.name) as trace:
        json_rpc.load(geth.http, contract, STORES, TRANSACTIONS, ETH_CALLS)
        started.wait_for(lambda: contract.count(node) == TRANSACTIONS * STORES, "the transactions to be in blocks")
        made = json_rpc.blocks(node) - before
        says = Metrics(geth.metrics)
    for call in ("new_payload", "block_import", "block_process", "execution", "validation", "block_write", "set_head"):
        yield exact(name, f"{call}, calls", made, "blocks of the chain", trace[call].count)
    yield exact(name, "blocks, events", made, "blocks of the chain", trace.events("blocks"))
    yield exact(name, "txpool_tx, calls", TRANSACTIONS, "the load", trace["txpool_tx"].count)
    reads = [f"chain/{of}/reads" for of in ("account", "storage", "code")]
    updates = ["chain/account/hashes", "chain/account/updates", "chain/storage/updates"]
    # insertChain also looks at the block before it is processed.
    inserts = says.sum_ns("chain/inserts")
    yield above(name, "block_import, sum", inserts, "geth's chain/inserts", trace["block_import"].sum_ns,
                0.1 * inserts + made * PROBE_NS)  # fmt: skip
    for call, relation, metrics, source in (
            ("block_process", above, ["chain/inserts"], "chain/inserts"),
            ("execution", below, ["chain/execution", *reads], "chain/execution and reads"),
            ("validation", below, ["chain/validation", *updates], "chain/validation and updates")):  # fmt: skip
        truth = says.sum_ns(*metrics)
        yield relation(name, f"{call}, sum", truth, f"geth's {source}", trace[call].sum_ns, SHARE * truth + made * PROBE_NS)
    calls = says.count(*says.methods())
    yield exact(name, "rpc, events", calls, "geth's rpc/duration", trace.events("rpc_requests"))
    for call, count, method, relation in (
            ("rpc:eth_call", ETH_CALLS, "eth_call", above),
            ("eth_call", ETH_CALLS, "eth_call", below),
            ("rpc:other", TRANSACTIONS, "eth_sendTransaction", above)):  # fmt: skip
        yield exact(name, f"{call}, calls", count, "the load", trace[call].count)
        truth = says.sum_ns(f"rpc/duration/{method}/success")
        yield relation(name, f"{call}, sum", truth, f"geth's {method}", trace[call].sum_ns, SHARE * truth + count * PROBE_NS)
    # What runs on its own (the index of logs) may be under way at the end.
    yield no_discards(name, trace, allowed=3)


def requests(options, name, geth, process, contract):
    with Traced(options.sonde, "geth", process.name, ["rpc", "eth_call"]) as trace:
        seconds = json_rpc.load(geth.http, contract, STORES, 0, LONG_CALLS, LONG_STORES)["eth_call"]
    name += ", one by one"
    yield exact(name, "eth_call, calls", LONG_CALLS, "the load", trace["eth_call"].count)
    yield from json_rpc.latencies(name, "rpc:eth_call", seconds, trace["rpc:eth_call"])


def measure(options, kind):
    program = options.program or programs.go_program(PACKAGE, VERSION, kind)
    if options.fetch:
        return
    name = f"geth {kind[0]}"
    with tempfile.TemporaryDirectory(prefix="sonde-geth-") as folder:
        geth = Geth(program, folder)
        with started.started(geth.command, geth.ready) as process:
            node = json_rpc.Node(geth.http)
            contract = json_rpc.Contract(node)
            yield from blocks(options, name, geth, process, node, contract)
            yield from requests(options, name, geth, process, contract)


if __name__ == "__main__":
    sys.exit(client_test.main(__doc__, [(kind[0], lambda options, kind=kind: measure(options, kind))
                                        for kind in (programs.PLAIN, programs.STRIPPED, RELEASE)]))  # fmt: skip
