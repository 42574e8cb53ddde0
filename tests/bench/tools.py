# SPDX-License-Identifier: Apache-2.0
"""The tracers that are compared: how each is started, when it traces, which BPF programs are its own."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_SEC = 15
STOP_TIMEOUT_SEC = 10
SEARCH_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
# bpftrace and some of libbpf-tools look for tracepoints in tracefs. Where the host has it not mounted, they get
# it in a mount namespace of their own.
TRACEFS = Path("/sys/kernel/tracing")
WITH_TRACEFS = ["unshare", "-m", "sh", "-c", f'mount -t tracefs tracefs {TRACEFS} && exec "$@"', "sh"]


class NotRun(Exception):
    """A tool cannot be run here; the text says why."""


@dataclass(frozen=True)
class Tool:
    name: str
    command: tuple
    ready: str  # beginning of the line that tells that it traces
    # The stream with that line. Tools that print it on a buffered stdout are given a terminal instead.
    stream: str = "terminal"
    needs_tracefs: bool = False

    def argv(self):
        program = shutil.which(self.command[0], path=SEARCH_PATH)
        if program is None:
            raise NotRun(f"{self.command[0]} not found")
        argv = [program, *self.command[1:]]
        if self.needs_tracefs and not (TRACEFS / "events").is_dir():
            return WITH_TRACEFS + argv
        return argv


@dataclass(frozen=True)
class ToolSet:
    """Tools that trace at the same time: together they answer what another answers alone."""

    name: str
    tools: tuple


def start(tool):
    """A context manager, in whose body the tool, or all of a set, traces."""
    return RunningSet(tool) if isinstance(tool, ToolSet) else RunningTool(tool)


class RunningSet:
    def __init__(self, tool_set):
        self.members = [RunningTool(tool) for tool in tool_set.tools]

    def __enter__(self):
        with ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        return self._stack.__exit__(*exception)

    def programs(self):
        """As that of a tool; the names of its members' programs are made different."""
        return {f"{name}, {number}": counts for number, member in enumerate(self.members, 1)
                for name, counts in member.programs().items()}  # fmt: skip


class RunningTool:
    """A started tool, as a context manager: it traces when the body begins, and is stopped with SIGINT. `printed` is what
    it has printed by the end, if the line that tells that it traces comes on stderr."""

    def __init__(self, tool):
        self.tool = tool
        self.output = ""
        self.printed = ""
        self.start_sec = 0.0  # from exec to tracing
        self._is_ready = threading.Event()
        self._has_ended = False

    def __enter__(self):
        argv = self.tool.argv()
        if self.tool.stream == "terminal":
            read_fd, write_fd = pty.openpty()
        else:
            read_fd, write_fd = os.pipe()
        quiet = subprocess.DEVNULL
        self._stdout = tempfile.TemporaryFile() if self.tool.stream == "stderr" else None
        stdout = self._stdout or write_fd
        stderr = quiet if self.tool.stream == "stdout" else write_fd
        begin = time.monotonic()
        self.process = subprocess.Popen(argv, stdin=quiet, stdout=stdout, stderr=stderr, start_new_session=True)
        os.close(write_fd)
        self._reader = threading.Thread(target=self._read, args=(read_fd, begin), daemon=True)
        self._reader.start()
        try:
            self._is_ready.wait(START_TIMEOUT_SEC)
            if not self.start_sec:
                raise NotRun(self._reason())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, exception_type, *_):
        ended = self.process.poll()
        self._stop()
        if ended is not None and exception_type is None:
            raise NotRun(f"ended by itself during the run with exit status {ended}")

    def _read(self, fd, begin):
        """Keeps the output until the tool traces and drains the rest, so that it is never held up."""
        while True:
            try:
                chunk = os.read(fd, 65536)
            except OSError:  # a terminal whose other end is closed
                chunk = b""
            if not chunk:
                break
            if not self.start_sec:
                self.output += chunk.decode(errors="replace")
                if re.search("^" + re.escape(self.tool.ready), self.output, re.MULTILINE):
                    self.start_sec = time.monotonic() - begin
                    self._is_ready.set()
        os.close(fd)
        self._has_ended = True
        self._is_ready.set()

    def _reason(self):
        if self._has_ended:  # its output has ended, so it ends too
            try:
                self.process.wait(STOP_TIMEOUT_SEC)
            except subprocess.TimeoutExpired:
                pass
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        said = lines[-1] if lines else "nothing"
        if self.process.poll() is None:
            return f"no line '{self.tool.ready}' within {START_TIMEOUT_SEC} s, it printed: {said}"
        return f"exit status {self.process.returncode}: {said}"

    def _stop(self):
        for _ in range(STOP_TIMEOUT_SEC):  # again each second: bpftrace loses a signal that comes early
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(1)
                break
            except subprocess.TimeoutExpired:
                continue
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(STOP_TIMEOUT_SEC)
        if self._stdout:
            self._stdout.seek(0)
            self.printed = self._stdout.read().decode(errors="replace")
            self._stdout.close()

    def programs(self):
        """{name: (runs, ns)} of the BPF programs it holds open; programs of equal name are added up."""
        ids = {int(number) for text in self._fdinfo() for number in re.findall(r"^prog_id:\s+(\d+)", text, re.M)}
        bpftool = shutil.which("bpftool", path=SEARCH_PATH)
        if bpftool is None:
            raise NotRun("bpftool, which shows the counts, not found")
        shown = json.loads(subprocess.run([bpftool, "prog", "show", "-j"], check=True, capture_output=True).stdout)
        found = {}
        for program in shown:
            if program["id"] in ids:
                runs, ns = found.get(program["name"], (0, 0))
                found[program["name"]] = (runs + program.get("run_cnt", 0), ns + program.get("run_time_ns", 0))
        return found

    def _fdinfo(self):
        for entry in Path(f"/proc/{self.process.pid}/fdinfo").iterdir():
            try:
                yield entry.read_text()
            except FileNotFoundError:  # closed in the meantime
                continue

    def peak_memory_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE).group(1)) * 1024

    def cpu_ns(self):
        """CPU time of all its threads so far."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def sonde(build_dir, probes, *options):
    command = (f"{build_dir}/sonde", "trace", "--probes", probes, "-o", "json", *options)
    return Tool("sonde", command, "tracing", stream="stderr")


def sonde_calls(build_dir, *options):
    """Options of `sonde trace` that name calls."""
    return Tool("sonde", (f"{build_dir}/sonde", "trace", "-o", "json", *options), "tracing", stream="stderr")


def empty(build_dir, probes):
    return Tool("empty", (f"{build_dir}/sonde-bench-empty", "--probes", probes), "ready", stream="stdout")


def clock(build_dir, probes):
    """Programs that read the clock once: what any measurement of time costs at least, cold caches included."""
    command = (f"{build_dir}/sonde-bench-empty", "--clock", "--probes", probes)
    return Tool("one clock reading", command, "ready", stream="stdout")


def bpftrace(name):
    script = Path(__file__).parent / f"{name}.bt"
    return Tool(f"bpftrace {name}.bt", ("bpftrace", str(script)), "tracing", needs_tracefs=True)


def biolatency(*options):
    command = ("biolatency", *options, "1")
    return Tool(" ".join(command), command, "Tracing", needs_tracefs=True)


RUNQLAT = Tool("runqlat -P 1", ("runqlat", "-P", "1"), "Tracing")
BIOLATENCY = biolatency()
TCPRTT = Tool("tcprtt -i 1", ("tcprtt", "-i", "1"), "Tracing", needs_tracefs=True)
# What it takes to learn from libbpf-tools what sonde tells: times on the run queue, on and off the CPU per process; the
# time in the device and, with -Q, that in the queue, per disk and operation.
SCHED_TOOLS = ToolSet("runqlat, cpudist, cpudist -O", (
    RUNQLAT,
    Tool("cpudist -P 1", ("cpudist", "-P", "1"), "Tracing"),
    Tool("cpudist -O -P 1", ("cpudist", "-O", "-P", "1"), "Tracing"),
))  # fmt: skip
BLOCK_TOOLS = ToolSet("biolatency -DF, with and without -Q", (biolatency("-D", "-F"), biolatency("-D", "-F", "-Q")))


def tools_for(build_dir, probes):
    """The tools that measure what sonde's probes measure, the limit first."""
    peers = {
        "sched": [RUNQLAT, bpftrace("sched"), SCHED_TOOLS],
        "block": [BIOLATENCY, bpftrace("block"), BLOCK_TOOLS],
        "tcp": [TCPRTT, bpftrace("tcp")],
        "sched,block,tcp": [RUNQLAT, BIOLATENCY],
    }
    return [empty(build_dir, probes), sonde(build_dir, probes), *peers[probes]]
