# SPDX-License-Identifier: Apache-2.0
"""A cgroup with a CPU quota, in version 2 or 1."""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loads import fresh_name
from rows import NotHere


@dataclass(frozen=True)
class Group:
    path: Path
    version: int

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def throttled_ns(self):
        stat = dict(line.split() for line in (self.path / "cpu.stat").read_text().splitlines())
        return int(stat["throttled_usec"]) * 1000 if self.version == 2 else int(stat["throttled_time"])


def make_group():
    name = fresh_name()
    for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        controllers = root / "cgroup.controllers"
        if controllers.is_file() and "cpu" in controllers.read_text().split():
            (root / "cgroup.subtree_control").write_text("+cpu")
            (root / name).mkdir()
            return Group(root / name, 2)
    root = Path("/sys/fs/cgroup/cpu")
    if not (root / "cpu.shares").is_file():
        raise NotHere("no cpu controller of cgroup v1 or v2")
    (root / name).mkdir()
    return Group(root / name, 1)


@contextmanager
def cpu_quota(quota_us, period_us):
    group = make_group()
    try:
        # The largest weight: once the quota lets it, it runs.
        if group.version == 2:
            (group.path / "cpu.max").write_text(f"{quota_us} {period_us}")
            (group.path / "cpu.weight").write_text("10000")
        else:
            (group.path / "cpu.shares").write_text("262144")
            (group.path / "cpu.cfs_period_us").write_text(str(period_us))
            (group.path / "cpu.cfs_quota_us").write_text(str(quota_us))
        yield group
    finally:
        group.path.rmdir()
