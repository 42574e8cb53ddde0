# SPDX-License-Identifier: Apache-2.0
"""Reads the BPF maps of another process by its descriptors: what sonde keeps in the kernel, seen from outside."""

import ctypes
import mmap
import os
import struct
from pathlib import Path

SYS_BPF = 321  # x86-64
MAP_GET_FD_BY_ID = 14
OBJ_GET_INFO_BY_FD = 15
MAP_LOOKUP_AND_DELETE_ELEM = 21

# bpf/abi/sched.h and bpf/abi/hist.h
PROCESS_BYTES = 24
ROWS_BYTES = 1984
ROW_BYTES = 192
SERIES = 10
CHUNKS = 42
CHUNKS_AT = 24  # in a row
FIRST_ROW_AT = 64  # in rows

_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command, attr):
    result = _libc.syscall(SYS_BPF, command, attr, len(attr))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}")
    return result


class KernelMap:
    """A map of somebody, which this object keeps alive."""

    def __init__(self, map_id):
        self.fd = _bpf(MAP_GET_FD_BY_ID, ctypes.create_string_buffer(struct.pack("III", map_id, 0, 0), 16))
        info = ctypes.create_string_buffer(64)
        _bpf(OBJ_GET_INFO_BY_FD,
             ctypes.create_string_buffer(struct.pack("IIQ", self.fd, len(info), ctypes.addressof(info)), 16))
        _, _, _, self.value_bytes, self.entries, _, name = struct.unpack_from("6I16s", info)
        self.name = name.rstrip(b"\0").decode()

    def close(self):
        os.close(self.fd)

    def read_array(self, value_bytes):
        """All elements of an array that can be mapped, as bytes."""
        if self.value_bytes != value_bytes:
            raise ValueError(f"{self.name}: an element has {self.value_bytes} bytes; the layout here is out of date")
        with mmap.mmap(self.fd, self.entries * value_bytes, mmap.MAP_SHARED, mmap.PROT_READ) as memory:
            return memory[:]

    def drain_queue(self):
        """Takes all numbers out of a queue."""
        value = ctypes.create_string_buffer(4)
        attr = ctypes.create_string_buffer(struct.pack("I4xQQQ", self.fd, 0, ctypes.addressof(value), 0), 64)
        numbers = []
        try:
            while len(numbers) <= self.entries:
                _bpf(MAP_LOOKUP_AND_DELETE_ELEM, attr)
                numbers.append(struct.unpack("I", value.raw)[0])
        except FileNotFoundError:
            pass
        return numbers


def kernel_objects(pid):
    """What a process holds: {"prog": n, "map": n, "link": n, "memory": bytes of its maps}, and the ids of the maps."""
    held = {"prog": 0, "map": 0, "link": 0, "memory": 0}
    map_ids = []
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            fields = dict(line.split(":\t", 1) for line in entry.read_text().splitlines() if ":\t" in line)
        except FileNotFoundError:
            continue  # closed in the meantime
        if "link_id" in fields:
            held["link"] += 1
        elif "map_id" in fields:
            held["map"] += 1
            held["memory"] += int(fields["memlock"])
            map_ids.append(int(fields["map_id"]))
        elif "prog_id" in fields:
            held["prog"] += 1
    return held, map_ids


class SchedPools:
    """The slots and chunks of a running sonde's scheduler probe. Keeps the maps, so that they outlive it."""

    def __init__(self, pid):
        self._maps = {}
        for map_id in kernel_objects(pid)[1]:
            each = KernelMap(map_id)
            # Every probe has rows and chunks. The rows of the scheduler are told by their size, its chunks by their
            # number: as many as all its slots could use.
            if (each.name in ("processes", "slot_free") or (each.name == "rows" and each.value_bytes == ROWS_BYTES) or
                    (each.name == "hist_free" and each.entries > self._entries("hist_free"))):
                self._maps[each.name] = each
            else:
                each.close()

    def _entries(self, name):
        return self._maps[name].entries if name in self._maps else 0

    def slots_in_use(self):
        """{slot: tgid}"""
        processes = self._maps["processes"].read_array(PROCESS_BYTES)
        tgids = {slot: struct.unpack_from("I", processes, slot * PROCESS_BYTES)[0]
                 for slot in range(1, len(processes) // PROCESS_BYTES)}
        return {slot: tgid for slot, tgid in tgids.items() if tgid}

    def slots_of_the_dead(self):
        """Slots of processes that have ended. REQUIRES: this is the host's pid namespace."""
        return {slot: tgid for slot, tgid in self.slots_in_use().items() if not Path(f"/proc/{tgid}").exists()}

    def chunks_in_use(self):
        """Numbers of the chunks that rows hold, as a list: none may be there twice."""
        rows = self._maps["rows"].read_array(ROWS_BYTES)
        found = []
        for slot in range(len(rows) // ROWS_BYTES):
            for series in range(SERIES):
                at = slot * ROWS_BYTES + FIRST_ROW_AT + series * ROW_BYTES + CHUNKS_AT
                found += [chunk for chunk in struct.unpack_from(f"{CHUNKS}I", rows, at) if chunk]
        return found

    def leaks(self):
        """What is neither in use nor free, or is both. Empties the queues. REQUIRES: the process has ended."""
        wrong = []
        for what, used, queue in (("slots", list(self.slots_in_use()), "slot_free"),
                                  ("chunks", self.chunks_in_use(), "hist_free")):
            known = used + self._maps[queue].drain_queue()
            if len(set(known)) != len(known):
                wrong.append(f"{len(known) - len(set(known))} {what} are held twice")
            # What lies behind the highest number was never handed out.
            lost = set(range(1, max(known, default=0) + 1)) - set(known)
            if lost:
                wrong.append(f"{len(lost)} of {max(known)} {what} are lost")
        return wrong
