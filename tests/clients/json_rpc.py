# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC to an Ethereum node, a contract that computes and stores, and a load of both, which times its own requests."""
import http.client
import json
import threading
import time
from collections import defaultdict

import started
from traced import MS, NS, below

# A contract that is called with a number N: reads a counter from slot 0, N times adds one to it and stores it in the slot
# of that number, stores it in slot 0 and returns it.
LOOP = "600035" "600054" "5b8115601b57" "600101" "808055" "9060019003" "90" "600656" "5b" "80600055" "600052" "60206000f3"
COPY = f"60{len(LOOP) // 2:02x}80600b6000396000f3"  # returns what is behind it: the contract
NUDGE_SEC = 2
GAS_BASE, GAS_PER_STORE = 500_000, 150_000  # enough for the prices of all forks


def argument(number):
    return f"0x{number:064x}"


class Refused(RuntimeError):
    """The node answered with an error."""


class Node:
    """A connection that stays open. Not for several threads."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.seconds = defaultdict(list)  # method -> how long each request took

    def __call__(self, method, *params):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        begin = time.perf_counter()
        self.connection.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse().read()
        self.seconds[method].append(time.perf_counter() - begin)
        document = json.loads(answer)
        if "error" in document:
            raise Refused(f"{method}: {document['error']}")
        return document["result"]


def answers(port):
    """Whether a node listens there."""
    try:
        return Node(port)("eth_chainId")
    except OSError:
        return None


def blocks(node):
    """How many there are, once none has come for a while."""
    return started.settled(lambda: int(node("eth_blockNumber"), 16), "the number of blocks")


class Contract:
    """LOOP on the node's chain."""

    def __init__(self, node):
        self.sender = node("eth_accounts")[0]
        transaction = node("eth_sendTransaction", {"from": self.sender, "data": "0x" + COPY + LOOP, "gas": hex(GAS_BASE)})
        patience = time.monotonic() + NUDGE_SEC

        def mined():
            """Its receipt. A node that has only just started may not know it yet, and say so, and may make no block of what
            came before it was ready, until something else comes."""
            try:
                receipt = node("eth_getTransactionReceipt", transaction)
                if not receipt and time.monotonic() > patience:
                    node("eth_sendTransaction", {"from": self.sender, "to": self.sender, "gas": hex(GAS_BASE)})
                return receipt
            except Refused:
                return None

        receipt = started.wait_for(mined, "the contract")
        if receipt["status"] != "0x1":
            raise RuntimeError(f"the contract was not made: {receipt}")
        self.address = receipt["contractAddress"]

    def message(self, stores):
        gas = GAS_BASE + stores * GAS_PER_STORE
        return {"from": self.sender, "to": self.address, "data": argument(stores), "gas": hex(gas)}

    def count(self, node):
        """What it has counted to, in the newest block."""
        return int(node("eth_getStorageAt", self.address, "0x0", "latest"), 16)


def load(port, contract, stores, transactions, calls, stores_of_call=None):
    """Sends so many transactions of `stores` stores, and makes so many eth_call meanwhile, both one behind another, from two
    connections. method -> seconds of each request. Raises if an answer is wrong: to know that, all transactions of a contract
    must be of as many stores."""
    stores_of_call = stores_of_call or stores
    nodes, failures = [], []

    def run(work):
        node = Node(port)
        nodes.append(node)
        try:
            work(node)
        except Exception as error:  # of a thread: told to the caller
            failures.append(error)

    def transact(node):
        # A node that is asked for the nonce may not have seen the transaction before.
        first = int(node("eth_getTransactionCount", contract.sender, "latest"), 16)
        for nonce in range(first, first + transactions):
            node("eth_sendTransaction", contract.message(stores) | {"nonce": hex(nonce)})

    def call(node):
        for _ in range(calls):
            result = int(node("eth_call", contract.message(stores_of_call), "latest"), 16)
            if (result - stores_of_call) % stores:
                raise RuntimeError(f"eth_call returned {result}: not {stores_of_call} more than after some transactions")

    threads = [threading.Thread(target=run, args=(work,)) for work in (transact, call)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    total = defaultdict(list)
    for node in nodes:
        for method, seconds in node.seconds.items():
            total[method] += seconds
    return total


def latencies(scenario, call, seconds, histogram):
    """Rows: of requests that were sent one behind another, what their sender saw has the node's part in it. What else is in
    it is the way there and back, and waits for a CPU."""
    seconds = sorted(seconds)
    for q, way_ns in ((0.5, 1.5 * MS), (0.9, 5 * MS)):
        truth = seconds[min(len(seconds) - 1, int(q * len(seconds)))] * NS
        yield below(scenario, f"{call}, {q:.0%} quantile", truth, "the load", histogram.quantile_ns(q), way_ns)
    truth = sum(seconds) * NS
    yield below(scenario, f"{call}, sum", truth, "the load", histogram.sum_ns, len(seconds) * 2 * MS)
