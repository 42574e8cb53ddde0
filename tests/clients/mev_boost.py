#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mev_boost.py SONDE: does sonde time mev-boost's requests as the validator in front of it and the relay behind it do?

What: builds mev-boost as `go install` does, without symbols, and traces it between a relay of the test's own, which answers
      after a known time, and a validator that asks for headers and registers. Counts must be exact; the relay's time is a
      part of sonde's, which is a part of the validator's.
Usage: mev_boost.py SONDE [--program FILE]
Exit:  0 as it should be, 1 not, 77 no mev-boost could be had. Needs root.
Limits: the relay never has a bid (it would have to be signed): mev-boost does everything but to check and compare bids.
"""
import http.client
import json
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.dont_write_bytecode = True  # nothing generated into the source tree

import client_test
import programs
import started
from rows import exact
from traced import NS, Traced, above, below, no_discards

PACKAGE, VERSION = "github.com/flashbots/mev-boost", "v1.8.1"
REQUESTS = 60
DELAY_SEC = {"bid_request": 0.05, "register_validator": 0.02}
WAY_NS = 4_000_000  # per request, between two of: validator, mev-boost, relay
# A point of the curve, as mev-boost wants it of a relay: the generator.
PUBLIC_KEY = "0x97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
HEADER_PATH = f"/eth/v1/builder/header/1/0x{'11' * 32}/{PUBLIC_KEY}"
REGISTER_PATH = "/eth/v1/builder/validators"
REGISTRATION = json.dumps([{
    "message": {"fee_recipient": f"0x{'22' * 20}", "gas_limit": "30000000", "timestamp": "1700000000", "pubkey": PUBLIC_KEY},
    "signature": f"0x{'33' * 96}"}])  # fmt: skip


@contextmanager
def relay():
    """(its port, call -> for how long it kept each request)"""
    kept = defaultdict(list)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, call, status):
            begin = time.perf_counter()
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            time.sleep(DELAY_SEC[call])
            kept[call].append(time.perf_counter() - begin)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self):
            self.answer("bid_request", 204)

        def do_POST(self):
            self.answer("register_validator", 200)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port):
    """call -> seconds of each request"""
    seconds = defaultdict(list)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    requests = (("bid_request", "GET", HEADER_PATH, None, 204),
                ("register_validator", "POST", REGISTER_PATH, REGISTRATION, 200))  # fmt: skip
    for _ in range(REQUESTS):
        for call, method, path, body, status in requests:
            begin = time.perf_counter()
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            text = answer.read()
            seconds[call].append(time.perf_counter() - begin)
            if answer.status != status:
                raise RuntimeError(f"{call}: mev-boost answered {answer.status}: {text.decode(errors='replace')}")
    return seconds


def measure(options):
    program = options.program or programs.go_program(PACKAGE, VERSION, programs.STRIPPED)
    if options.fetch:
        return
    port = started.free_port()
    with relay() as (relay_port, kept):
        command = [program, "-addr", f"127.0.0.1:{port}", "-relay", f"http://{PUBLIC_KEY}@127.0.0.1:{relay_port}"]
        with started.started(command, lambda: started.accepts(port)) as process:
            with Traced(options.sonde, "mev-boost", process.name) as trace:
                seconds = ask(port)
    for call, delay in DELAY_SEC.items():
        name, of_all = f"mev-boost {call}", trace[call]
        yield exact(name, "calls", REQUESTS, "the validator", of_all.count)
        yield above(name, "least", delay * NS, "the relay's delay", of_all.min_ns, WAY_NS)
        yield above(name, "sum", sum(kept[call]) * NS, "the relay", of_all.sum_ns, REQUESTS * WAY_NS)
        yield below(name, "sum", sum(seconds[call]) * NS, "the validator", of_all.sum_ns, REQUESTS * WAY_NS)
    everything = [*kept["bid_request"], *kept["register_validator"]]
    yield exact("mev-boost http_call", "calls", len(everything), "the relay", trace["http_call"].count)
    yield above("mev-boost http_call", "sum", sum(everything) * NS, "the relay", trace["http_call"].sum_ns,
                len(everything) * WAY_NS)  # fmt: skip
    yield no_discards("mev-boost", trace)


if __name__ == "__main__":
    sys.exit(client_test.main(__doc__, [("mev-boost", measure)]))
