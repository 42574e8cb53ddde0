#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""anvil.py SONDE: does sonde time the calls of anvil, a node in Rust with its symbols, as its users do?

What: fetches anvil from npm (npm_anvil/package-lock.json) and traces it while transactions and eth_calls come in, and while
      one eth_call comes behind another. anvil keeps no times of its own: what was sent is the truth for counts, which must
      be exact, and its sender's latencies have sonde's in them.
Usage: anvil.py SONDE [--program FILE]
Exit:  0 as it should be, 1 not, 77 no anvil could be had. Needs root.
Limits: x86-64 only. What sonde refuses to time in this program is named, with its reason, and not tested. Bodies of async
      functions are polled, not called: requests as a whole cannot be timed.
"""
import sys

sys.dont_write_bytecode = True  # nothing generated into the source tree

import client_test
import json_rpc
import programs
import started
from rows import NotHere, exact
from traced import Traced, calls_of, no_discards

TRANSACTIONS, STORES, ETH_CALLS = 400, 40, 900
LONG_CALLS, LONG_STORES = 400, 300


def mixed(options, port, process, calls):
    node = json_rpc.Node(port)
    contract = json_rpc.Contract(node)
    before = json_rpc.blocks(node)
    with Traced(options.sonde, "anvil", process.name) as trace:
        json_rpc.load(port, contract, STORES, TRANSACTIONS, ETH_CALLS)
        started.wait_for(lambda: contract.count(node) == TRANSACTIONS * STORES, "the transactions to be in blocks")
        made = json_rpc.blocks(node) - before
    for call, truth, source in (("execution", made, "blocks of the chain"), ("txpool_reset", made, "blocks of the chain"),
                                ("txpool_tx", TRANSACTIONS, "the load"), ("eth_call", ETH_CALLS, "the load"),
                                ("tx_execution", TRANSACTIONS + ETH_CALLS, "the load")):  # fmt: skip
        if call in calls:
            yield exact("anvil", f"{call}, calls", truth, source, trace[call].count)
    yield no_discards("anvil", trace)


def one_by_one(options, port, process):
    contract = json_rpc.Contract(json_rpc.Node(port))
    with Traced(options.sonde, "anvil", process.name, ["eth_call"]) as trace:
        seconds = json_rpc.load(port, contract, STORES, 0, LONG_CALLS, LONG_STORES)["eth_call"]
    name = "anvil, one by one"
    yield exact(name, "eth_call, calls", LONG_CALLS, "the load", trace["eth_call"].count)
    yield from json_rpc.latencies(name, "eth_call", seconds, trace["eth_call"])


def measure(options):
    program = options.program or programs.npm_program("anvil", "node_modules/@foundry-rs/anvil-linux-*/bin/anvil")
    if options.fetch:
        return
    port = started.free_port()
    command = [program, "--host", "127.0.0.1", "--port", port, "--quiet"]
    with started.started(command, lambda: json_rpc.answers(port)) as process:
        known = calls_of(options.sonde, process.pid)
        yield from (NotHere(f"{call}: {why}") for call, why in known.items() if why)
        calls = [call for call, why in known.items() if not why]
        yield from mixed(options, port, process, calls)
        if "eth_call" in calls:
            yield from one_by_one(options, port, process)


if __name__ == "__main__":
    sys.exit(client_test.main(__doc__, [("anvil", measure)]))
