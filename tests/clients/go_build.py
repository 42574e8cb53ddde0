# SPDX-License-Identifier: Apache-2.0
"""Builds the Go programs beside this file with the toolchain of a version."""
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTHING = "no Go toolchain could be had"


def toolchain(version):
    """Its folder, or None after saying why it cannot be had."""
    got = subprocess.run([HERE / "go_toolchain.sh", version], capture_output=True, text=True, check=False)
    if got.returncode != 0:
        print(f"go {version}: NOT TESTED: {got.stderr.strip()}")
        return None
    return got.stdout.strip()


def build(goroot, program, out, flags, cgo="0"):
    """Builds the folder `program` into the file `out`. Raises CalledProcessError."""
    keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment = {**keep, "CGO_ENABLED": cgo, "GOROOT": goroot, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false",
                   "GOPROXY": "off", "GOCACHE": str(out.parent / f"cache-{Path(goroot).name}")}  # fmt: skip
    command = [f"{goroot}/bin/go", "build", "-o", str(out), *flags, "."]
    subprocess.run(command, check=True, cwd=HERE / program, capture_output=True, text=True, env=environment)
