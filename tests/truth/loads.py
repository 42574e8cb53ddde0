# SPDX-License-Identifier: Apache-2.0
"""Where the truth comes from: load generators with accounts of their own, and the kernel's."""

import itertools
import json
import os
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rows import NotHere

_names = itertools.count()


@dataclass(frozen=True)
class Setting:
    """What a scenario gets."""

    sonde: str
    load: str  # the program sonde-load
    slow: bool  # an emulated CPU: what user space does around an event takes longer
    disk: str | None  # a block device whose contents may be destroyed
    folder: str  # on a disk


def fresh_name():
    """A process name that nothing else bears."""
    return f"truth-{os.getpid() % 10000}-{next(_names)}"


def be_first():
    """Makes this process run as soon as it can: what it measures then has no waits for a CPU in it."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))


def be_preferred():
    """Makes this process win against everything else that is not real-time."""
    os.setpriority(os.PRIO_PROCESS, 0, -20)


def run(*command, prepare=None):
    """The output of a command; NotHere if there is no such program. `prepare` runs in its process."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=prepare).stdout
    except FileNotFoundError as error:
        raise NotHere(f"no {command[0]} here") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip() or error.stdout.strip()).splitlines() or ["nothing"]
        raise RuntimeError(f"{' '.join(map(str, command[:3]))}: {said[-1]}") from error


def require(*command):
    """Runs a command that only works where the kernel has what a scenario needs."""
    try:
        run(*command)
    except RuntimeError as error:
        raise NotHere(str(error)) from error


def run_load(setting, *arguments, prepare=None):
    """The account of one load of sonde-load."""
    return json.loads(run(setting.load, *map(str, arguments), prepare=prepare))


def fio(device, rw, prepare=None, **options):
    """The report of one job of fio."""
    arguments = {"name": "truth", "filename": device, "rw": rw, "bs": "4k", "direct": 1, "ioengine": "psync",
                 "randseed": 1, "allow_file_create": 0} | options  # fmt: skip
    text = run("fio", "--output-format=json", *[f"--{name}={value}" for name, value in arguments.items()],
               prepare=prepare)  # fmt: skip
    return json.loads(text[text.index("{"):])["jobs"][0]


@contextmanager
def no_idling(setting):
    """Something for every CPU to do when there is nothing else: in a virtual machine a CPU that sleeps is woken late."""

    def be_last():
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    command = [setting.load, "spin", "--threads", str(os.cpu_count()), "--cpus", cpus, "--seconds", "120", "--ready"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=be_last) as spinner:
        try:
            spinner.stdout.readline()
            yield
        finally:
            spinner.terminate()
            spinner.communicate()


@contextmanager
def loop_device(megabytes=128):
    """A loop device over a file in memory: a disk that nobody else uses."""
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.NamedTemporaryFile(prefix="sonde-truth-", dir=folder) as file:
        file.truncate(megabytes << 20)
        device = run("losetup", "-f").strip()
        run("losetup", device, file.name)
        try:
            with open(device, "rb") as disk:
                disk.read(1)  # whoever opens it first makes the kernel look for partitions
            yield device
        finally:
            run("losetup", "-d", device)


@contextmanager
def null_blk(**parameters):
    """A disk that completes each request after a set time (irqmode=2, completion_nsec)."""
    require("modprobe", "null_blk", "nr_devices=1", "queue_mode=2", *[f"{k}={v}" for k, v in parameters.items()])
    try:
        yield "/dev/nullb0"
    finally:
        run("modprobe", "-r", "null_blk")


def queue_setting(device, name, value):
    try:
        Path(f"/sys/block/{Path(device).name}/queue/{name}").write_text(f"{value}\n")
    except OSError as error:
        raise NotHere(f"{device} cannot have the {name} {value}: {error.strerror}") from error


@dataclass(frozen=True)
class DiskAccount:
    """The kernel's own account of one operation on a disk: Documentation/block/stat.rst."""

    requests: int
    merges: int
    bytes: int
    ns: int

    def __sub__(self, other):
        return DiskAccount(self.requests - other.requests, self.merges - other.merges, self.bytes - other.bytes,
                           self.ns - other.ns)  # fmt: skip


def disk_accounts(device):
    """{operation: DiskAccount}, since boot."""
    fields = [int(word) for word in Path(f"/sys/block/{Path(device).name}/stat").read_text().split()]
    first = {"read": 0, "write": 4, "discard": 11}
    accounts = {
        op: DiskAccount(fields[at], fields[at + 1], fields[at + 2] * 512, fields[at + 3] * 1_000_000)
        for op, at in first.items()
    }
    accounts["flush"] = DiskAccount(fields[15], 0, 0, fields[16] * 1_000_000)
    return accounts
