# SPDX-License-Identifier: Apache-2.0
"""Servers of the tests: started, waited for, and ended whatever happens.

What: `with started(command, ready) as server:` runs it until the block ends. It also ends with the test that started it,
      should that be killed (the kernel's parent-death signal, which setpriv asks for).
Limits: a port that free_port() names is free when it is asked for; another program may take it before the server does.
"""
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT_SEC = 60
STOP_TIMEOUT_SEC = 20
POLL_SEC = 0.02
QUIET_SEC = 0.5


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, what, seconds=START_TIMEOUT_SEC):
    """The first true value of condition(), which is asked again and again."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds} s for {what}")
        time.sleep(POLL_SEC)
    return value


def settled(value, what, quiet=QUIET_SEC):
    """The value of value() once it has stayed the same for a while."""
    last, since = value(), time.monotonic()

    def stayed():
        nonlocal last, since
        if (now := value()) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > quiet

    wait_for(stayed, f"{what} to stay the same")
    return last


def accepts(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def end_on_sigterm():
    """A test that is told to end leaves its blocks, so that what it started ends, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


@contextmanager
def another_name(program):
    """A path to it by which no other process was started: so processes of this name are the test's own."""
    with tempfile.TemporaryDirectory(prefix="sonde-client-") as folder:
        os.chmod(folder, 0o755)  # it may run as another user
        link = Path(folder) / f"{Path(program).name[:6]}-{secrets.token_hex(3)}"
        link.symlink_to(Path(program).resolve())
        yield link


@contextmanager
def started(command, ready, user=None, stop=signal.SIGTERM, folder=None):
    """The process of `command`, once ready() is true; its `name` is one that no other has, and that its children have, too.
    `user`: as which it runs. `stop`: the signal that ends it. Raises RuntimeError with its last words if it ends before."""
    as_user = [f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
    program, *words = map(str, command)
    with tempfile.TemporaryFile(mode="w+", errors="replace") as log, another_name(program) as link:
        process = subprocess.Popen(["setpriv", *as_user, "--pdeathsig", stop.name[3:], "--", link, *words], cwd=folder,
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)  # fmt: skip
        process.name = link.name
        try:
            wait_for(lambda: process.poll() is not None or ready(), f"{program} to be ready")
            if process.poll() is not None:
                log.seek(0)
                raise RuntimeError(f"{program} ended: {' / '.join(log.read().splitlines()[-5:])}")
            yield process
            if process.poll() is not None:
                raise RuntimeError(f"{program} ended by itself, with status {process.returncode}")
        finally:
            if process.poll() is None:
                process.send_signal(stop)
            try:
                process.wait(STOP_TIMEOUT_SEC)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
