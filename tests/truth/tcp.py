# SPDX-License-Identifier: Apache-2.0
"""TCP: links of known delay and loss between two network namespaces, the kernel's counters, ss, and the loads."""

import contextlib
import ctypes
import os
import re
import socket
import subprocess
import threading
import time
from dataclasses import dataclass

from loads import require, run, run_load
from rows import BUCKET_ERROR, exact, within, witness
from tracing import Trace

PORT = 6399
CLONE_NEWNET = 0x40000000  # linux/sched.h
# Each end of the link, as (IPv4, IPv6).
NEAR, FAR = ("10.77.0.1", "fd77::1"), ("10.77.0.2", "fd77::2")


@dataclass(frozen=True)
class Link:
    near: str  # network namespaces
    far: str

    def netem(self, *words, by=run):
        """The same for both directions."""
        for side in (self.near, self.far):
            by("ip", "netns", "exec", side, "tc", "qdisc", "replace", "dev", "veth", "root", "netem", *words)


@contextlib.contextmanager
def link():
    names = Link("sonde-near", "sonde-far")
    try:
        for side in (names.near, names.far):
            require("ip", "netns", "add", side)
        require("ip", "link", "add", "veth", "netns", names.near, "type", "veth", "peer", "name", "veth", "netns", names.far)
        for side, addresses in ((names.near, NEAR), (names.far, FAR)):
            for address, bits in zip(addresses, ("24", "64")):
                run("ip", "-n", side, "address", "add", f"{address}/{bits}", "dev", "veth", "nodad")
            run("ip", "-n", side, "link", "set", "veth", "up")
            run("ip", "-n", side, "link", "set", "lo", "up")
        names.netem("delay", "0ms", by=require)
        yield names
    finally:
        for side in (names.near, names.far):
            subprocess.run(["ip", "netns", "delete", side], check=False, capture_output=True)


@contextlib.contextmanager
def in_namespace(name):
    """Sockets made by this thread inside are those of the namespace; they stay so."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{name}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"enter the network namespace {name}")
        try:
            yield
        finally:
            libc.setns(before.fileno(), CLONE_NEWNET)


def listener(names, family, address):
    with in_namespace(names.far):
        server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, PORT))
    server.listen(128)
    return server


def client(names, family):
    with in_namespace(names.near):
        return socket.socket(family, socket.SOCK_STREAM)


def echo(server, connections):
    """Answers each byte at once, on `connections` connections one after the other."""
    for _ in range(connections):
        peer, _ = server.accept()
        with peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while byte := peer.recv(4096):
                peer.sendall(byte[:1])


FAMILIES = (("IPv4", socket.AF_INET, 0), ("IPv6", socket.AF_INET6, 1))


def a_link_of_known_delay(setting):
    """20 ms each way. A request and its answer: the acknowledgement rides on the answer, at once."""
    delay_ns = 20_000_000
    rounds = 50
    with link() as names:
        names.netem("delay", "20ms", "limit", "10000")
        for family_name, family, at in FAMILIES:
            with listener(names, family, FAR[at]) as server:
                thread = threading.Thread(target=echo, args=(server, 1), daemon=True)
                thread.start()
                with Trace(setting.sonde, "--probes", "tcp") as trace, client(names, family) as near:
                    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    begin = time.monotonic_ns()
                    near.connect((FAR[at], PORT))
                    connect_ns = time.monotonic_ns() - begin
                    took = []
                    for _ in range(rounds):
                        begin = time.monotonic_ns()
                        near.sendall(b"q")
                        near.recv(1)
                        took.append(time.monotonic_ns() - begin)
                    smoothed_ns = ss_rtt_ns(names.near)
                thread.join(5)
            scenario = f"{family_name} on a link of 20 ms each way"
            rtt = trace.histogram("tcp_rtt", port="ephemeral")
            late_ns = 5_000_000 if setting.slow else 50_000
            # The least: the link is never faster, and an emulated CPU often late.
            yield within(scenario, "RTT min", 2 * delay_ns, "netem", rtt.min_ns, 0, late_ns / 2)
            yield within(scenario, "RTT p50", sorted(took)[rounds // 2], "the program's clock", rtt.quantile_ns(0.5),
                         BUCKET_ERROR, late_ns)  # fmt: skip
            yield within(scenario, "RTT mean", smoothed_ns, "ss -ti, rtt", rtt.sum_ns / rtt.count, BUCKET_ERROR, late_ns)
            connects = trace.histogram("tcp_connect_latency", port=str(PORT))
            yield exact(scenario, "connects", 1, "what it does", connects.count)
            yield within(scenario, "connect latency", connect_ns, "the program's clock", connects.sum_ns, 0, 2 * late_ns)


def ss_rtt_ns(namespace):
    text = run("ip", "netns", "exec", namespace, "ss", "-tinH", "state", "established", "dport", "=", f":{PORT}")
    return float(re.search(r"\brtt:([0-9.]+)/", text).group(1)) * 1e6


def nstat(namespace, name):
    """The kernel's counter of that namespace, since it was made."""
    text = run("ip", "netns", "exec", namespace, "nstat", "-asz", name)
    return int(re.search(rf"^{name}\s+(\d+)", text, re.M).group(1))


def a_lossy_link(setting):
    """Every tenth packet is lost, both ways."""
    requests = 300
    with link() as names:
        names.netem("delay", "1ms", "loss", "10%", "limit", "10000")
        for family_name, family, at in FAMILIES:
            before = sum(nstat(side, "TcpRetransSegs") for side in (names.near, names.far))
            with listener(names, family, FAR[at]) as server:
                thread = threading.Thread(target=echo, args=(server, 1), daemon=True)
                thread.start()
                with Trace(setting.sonde, "--probes", "tcp") as trace:
                    with client(names, family) as near:
                        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        near.connect((FAR[at], PORT))
                        for _ in range(requests):
                            near.sendall(b"q")
                            near.recv(1)
                    thread.join(60)
                    names.netem("delay", "1ms")
                    time.sleep(2)  # what is still to be sent again, for the two sides' last words
                    after = sum(nstat(side, "TcpRetransSegs") for side in (names.near, names.far))
            yield exact(f"{family_name}, one packet in ten lost", "retransmits", after - before, "nstat",
                        trace.counter("tcp_retransmits"))  # fmt: skip
            names.netem("delay", "1ms", "loss", "10%", "limit", "10000")


def a_lost_syn(setting):
    """The first SYN is lost: TCP sends the next after a second."""
    with link() as names:
        for family_name, family, at in FAMILIES:
            names.netem("loss", "100%")
            with listener(names, family, FAR[at]) as server:
                thread = threading.Thread(target=echo, args=(server, 1), daemon=True)
                thread.start()
                with Trace(setting.sonde, "--probes", "tcp") as trace, client(names, family) as near:
                    heal = threading.Timer(0.3, names.netem, ("delay", "1ms"))
                    heal.start()
                    begin = time.monotonic_ns()
                    near.connect((FAR[at], PORT))
                    took_ns = time.monotonic_ns() - begin
                    heal.join()
                    near.sendall(b"q")
                    near.recv(1)
                thread.join(5)
            scenario = f"{family_name}, the first SYN lost"
            connects = trace.histogram("tcp_connect_latency", port=str(PORT))
            yield exact(scenario, "connects", 1, "what it does", connects.count)
            yield within(scenario, "connect latency", took_ns, "the program's clock", connects.sum_ns, 0,
                         20_000_000 if setting.slow else 1_000_000)  # fmt: skip
            if took_ns < 900_000_000:
                raise RuntimeError(f"{scenario}: the connect took {took_ns} ns: nothing was lost")


def on_loopback(setting):
    """Requests and answers: one sample per request on each side, and one for the handshake."""
    requests = 500 if setting.slow else 10_000
    for family in ((), ("--ipv6",)):
        with Trace(setting.sonde, "--probes", "tcp") as trace:
            account = run_load(setting, "tcp-rr", "--count", requests, "--port", PORT, *family)
        scenario = f"{'IPv6' if family else 'IPv4'}, requests on loopback"
        server = trace.histogram("tcp_rtt", port=str(PORT))
        yield within(scenario, "RTT samples of the server", requests, "the load's count", server.count, 0, 2, unit="")
        client_rtt = trace.histogram("tcp_rtt", port="ephemeral")
        yield witness(scenario, "RTT p50 of the client", account["latency_ns"]["p50"], "request until answer",
                      client_rtt.quantile_ns(0.5))  # fmt: skip
        connects = trace.histogram("tcp_connect_latency", port=str(PORT))
        yield exact(scenario, "connects", 1, "the load's count", connects.count)


def connections(setting):
    """To the last one."""
    count = 50 if setting.slow else 2_000
    for family in ((), ("--ipv6",)):
        scenario = f"{'IPv6' if family else 'IPv4'}, {count} connections, 20 refused"
        with Trace(setting.sonde, "--probes", "tcp") as trace:
            opened = run_load(setting, "tcp-connect", "--count", count, "--port", PORT, *family)
            run_load(setting, "tcp-connect", "--count", 20, "--port", PORT + 1, "--refused", *family)
        yield exact(scenario, "connects", opened["count"], "the load's count",
                    trace.histogram("tcp_connect_latency", port=str(PORT)).count)  # fmt: skip
        yield exact(scenario, "accepts", opened["count"], "the load's count",
                    trace.histogram("tcp_accept_latency", port=str(PORT)).count)  # fmt: skip
        yield exact(scenario, "failed connects", 20, "the load's count",
                    trace.counter("tcp_connect_failures", port=str(PORT + 1)))  # fmt: skip


SCENARIOS = (on_loopback, connections, a_link_of_known_delay, a_lossy_link, a_lost_syn)
