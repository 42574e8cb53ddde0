# SPDX-License-Identifier: Apache-2.0
"""Block I/O: against the kernel's account of the disk, fio's own latencies, and a disk of known speed."""

import time
from dataclasses import replace
from pathlib import Path

from loads import be_first, disk_accounts, fio, loop_device, no_idling, null_blk, queue_setting
from rows import BUCKET_ERROR, exact, within
from tracing import Trace

LATENCY = "block_io_latency"
KERNEL = "/sys/block/*/stat"


def settle(device):
    """Waits until the disk has nothing in flight, so that both accounts are closed."""
    for _ in range(200):
        if Path(f"/sys/block/{Path(device).name}/stat").read_text().split()[8] == "0":
            return
        time.sleep(0.01)
    raise RuntimeError(f"{device} does not come to rest")


def against_the_kernel(setting, scenario, device, options, operations):
    """Requests and bytes must be the same, the time nearly: the kernel reads its clock a little later."""
    at_once = options.get("iodepth", 1)
    settle(device)
    before = disk_accounts(device)
    with Trace(setting.sonde, "--probes", "block") as trace:
        fio(device, **options)
        settle(device)
    after = disk_accounts(device)
    flushes = (after["flush"] - before["flush"]).requests
    for op in operations:
        truth = after[op] - before[op]
        if truth.requests == 0:
            raise RuntimeError(f"{scenario}: the load made no {op}")
        measured = trace.histogram(LATENCY, device=Path(device).name, op=op, stage="total")
        if op == "write" and flushes:
            # A request to flush is a write of no bytes in the kernel's account, and its flush is in it once more.
            yield exact(scenario, "write requests", truth.requests - flushes, KERNEL + ", writes - flushes", measured.count)
        else:
            yield exact(scenario, f"{op} requests", truth.requests, KERNEL, measured.count)
        if op != "flush":
            done = trace.counter("block_io_bytes", device=Path(device).name, op=op)
            yield exact(scenario, f"{op} bytes", truth.bytes, KERNEL, done, "bytes")
        if op == "write" and flushes:
            continue  # the kernel's time has that of the flushes in it
        time_row = within(scenario, f"{op} time, sum", truth.ns, KERNEL, measured.sum_ns, 0.01,
                          2_000_000 + 2_000 * truth.requests)  # fmt: skip
        # Between the two readings of the clock the program is woken that waits for the request. With one at a time and
        # a disk in memory, that takes as long as the request; and an emulated CPU may stop there.
        yield time_row if at_once > 1 and not setting.slow else replace(time_row, allowed=None)


def kernel_account(setting):
    """Every way to make a request: engines, depths, write-back, flush, discard."""
    few, many = (100, 400) if setting.slow else (1000, 10000)
    with loop_device() as device:
        for scenario, operations, options in (
            ("direct reads, one at a time", ["read"], {"rw": "randread", "number_ios": few}),
            ("32 reads and writes at once, libaio", ["read", "write"],
             {"rw": "randrw", "ioengine": "libaio", "iodepth": 32, "number_ios": many}),
            ("16 reads at once, io_uring", ["read"],
             {"rw": "randread", "ioengine": "io_uring", "iodepth": 16, "number_ios": many}),
            ("buffered writes, written back later", ["write"],
             {"rw": "randwrite", "direct": 0, "number_ios": many, "end_fsync": 1}),
            ("a flush after each write", ["write", "flush"], {"rw": "randwrite", "fsync": 1, "number_ios": few}),
            ("discards", ["discard"], {"rw": "randtrim", "bs": "64k", "number_ios": few}),
        ):  # fmt: skip
            yield from against_the_kernel(setting, scenario, device, options, operations)


def split_and_merged(setting):
    """What the application asks for and what the disk gets are not the same number of requests."""
    with loop_device() as device:
        queue_setting(device, "max_sectors_kb", 64)
        scenario = "1 MiB reads of a disk that takes 64 KiB"
        with Trace(setting.sonde, "--probes", "block", "--comm", "fio") as trace:
            job = fio(device, "read", bs="1m", number_ios=50)
        reads = trace.histogram(LATENCY, op="read", stage="total")
        asked = job["read"]["total_ios"]
        yield exact(scenario, "requests", 16 * asked, "fio's I/Os x 16", reads.count)

    with loop_device() as device:
        scenario = "neighbouring 4 KiB writes, merged"
        before = disk_accounts(device)["write"]
        with Trace(setting.sonde, "--probes", "block") as trace:
            job = fio(device, "write", ioengine="libaio", iodepth=16, iodepth_batch=16, number_ios=1600)
            settle(device)
        merges = (disk_accounts(device)["write"] - before).merges
        writes = trace.histogram(LATENCY, device=Path(device).name, op="write", stage="total")
        if merges == 0:
            raise RuntimeError(f"{scenario}: the kernel merged nothing")
        yield exact(scenario, "requests", job["write"]["total_ios"] - merges, "fio's I/Os - merges", writes.count)
        yield exact(scenario, "bytes", job["write"]["io_bytes"], "fio",
                    trace.counter("block_io_bytes", device=Path(device).name, op="write"), "bytes")  # fmt: skip


def fio_latency(setting):
    """Besides the request, fio's completion latency has the system call and the wakeup of fio. On a disk in memory
    those take as long as the request, so the two are only shown side by side; a slower disk is below."""
    with loop_device() as device, no_idling(setting):
        with Trace(setting.sonde, "--probes", "block", "--comm", "fio") as trace:
            job = fio(device, "randread", be_first, number_ios=200 if setting.slow else 20000)
    for row in percentiles("reads of a loop device, one at a time", job["read"], trace, 0):
        yield replace(row, allowed=None)


def percentiles(scenario, truth, trace, around_ns):
    total = trace.histogram(LATENCY, stage="total")
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        clat = truth["clat_ns"]["percentile"][f"{100 * q:.6f}"]
        yield within(scenario, f"total {name}", clat, "fio clat", total.quantile_ns(q), BUCKET_ERROR, around_ns)


def known_speed(setting):
    """null_blk completes each request by a timer."""
    set_ns = 20_000_000
    late_ns = 1_500_000  # the timer's interrupt and fio, on an emulated CPU
    accounted_ns = 500_000  # between two readings of the clock there
    with null_blk(irqmode=2, completion_nsec=set_ns, hw_queue_depth=64) as device:
        for scenario, options in (
            ("a disk of 20 ms, one read at a time", {"number_ios": 100}),
            ("a disk of 20 ms, 16 reads at once", {"ioengine": "libaio", "iodepth": 16, "number_ios": 800}),
        ):
            before = disk_accounts(device)["read"]
            with Trace(setting.sonde, "--probes", "block") as trace:
                job = fio(device, "randread", be_first, **options)
                settle(device)
            account = disk_accounts(device)["read"] - before
            total = trace.histogram(LATENCY, device="nullb0", stage="total")
            yield exact(scenario, "reads", account.requests, KERNEL, total.count)
            device_time = trace.histogram(LATENCY, stage="device")
            yield within(scenario, "device p50", set_ns, "completion_nsec", device_time.quantile_ns(0.5), BUCKET_ERROR,
                         late_ns)  # fmt: skip
            yield within(scenario, "total mean", account.ns / account.requests, KERNEL, total.sum_ns / total.count, 0,
                         accounted_ns)  # fmt: skip
            *most, last = percentiles(scenario, job["read"], trace, late_ns)
            # fio handles what is complete at once one after the other: most of it waits for others.
            at_once = 2 if "iodepth" in options else 1
            yield from (replace(row, allowed=at_once * row.allowed) for row in most)
            yield replace(last, allowed=None)  # the last of a hundred is when the machine was disturbed

    with null_blk(irqmode=2, completion_nsec=set_ns, hw_queue_depth=8, submit_queues=1) as device:
        queue_setting(device, "scheduler", "mq-deadline")
        scenario = "16 reads at once, of which a disk of 20 ms takes 8"
        before = disk_accounts(device)["read"]
        with Trace(setting.sonde, "--probes", "block", "--comm", "fio") as trace:
            job = fio(device, "randread", be_first, ioengine="libaio", iodepth=16, number_ios=800)
            settle(device)
        account = disk_accounts(device)["read"] - before
        truth_ns = account.ns / account.requests
        mean = {stage: trace.histogram(LATENCY, stage=stage) for stage in ("queue", "device", "total")}
        mean = {stage: histogram.sum_ns / histogram.count for stage, histogram in mean.items()}
        yield within(scenario, "device mean", set_ns, "completion_nsec", mean["device"], 0, late_ns)
        yield within(scenario, "total mean", truth_ns, KERNEL, mean["total"], 0, accounted_ns)
        yield within(scenario, "queue mean", truth_ns - set_ns, KERNEL + " - completion_nsec", mean["queue"], 0, late_ns)
        # The kernel's account begins where sonde's does; fio's does not.
        yield within(scenario, "total mean", job["read"]["clat_ns"]["mean"], "fio clat", mean["total"], 0, 2 * late_ns)


SCENARIOS = (kernel_account, split_and_merged, fio_latency, known_speed)
