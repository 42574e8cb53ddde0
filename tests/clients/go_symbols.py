#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""go_symbols.py SONDE VERSION...: does `sonde symbols` read what each of these Go toolchains makes?

Builds a program as the vendors of clients do (pure Go, position-independent, with C and an external linker, static),
strips it, takes its section headers away too, and compares the functions that sonde reads from Go's own table with the symbol table of the
same build before it was stripped, as readelf reads it: names and addresses of all, and sizes up to padding. Where sonde would probe them is compared with what objdump decodes:
all returns and no other, and an entry that is an instruction.
Exit status: 0 all agree, 1 some do not, 77 no toolchain could be had.
"""
import bisect
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True  # nothing generated into the source tree

import go_build

MAX_PADDING = 63  # behind a function, up to the next
# Names that the linker makes and that are no functions of the table, or that it puts there under another name.
OF_C = re.compile(r"^[^.]*(\.(constprop|part|isra|cold|lto_priv)(\.\d+)*)*$")  # Go's names all have a package
NOT_IN_TABLE = re.compile(r"^(runtime\.e?text|go:.*|type:.*|_.*|local\..*|x_cgo.*|crosscall.*)$")

# As go-ethereum's own build has it, without --strip-all: what is stripped here is so afterwards.
EXTERNAL = '-linkmode=external -extldflags "-static -Wl,--build-id=none"'
BUILDS = {
    "plain": ("0", []),
    "pie": ("0", ["-buildmode=pie"]),
    "cgo": ("1", ["-ldflags", "-linkmode=external"]),
    "cgo-pie": ("1", ["-buildmode=pie", "-ldflags", "-linkmode=external"]),
    "cgo-static": ("1", ["-ldflags", EXTERNAL]),
}  # fmt: skip


def run(command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def readelf_functions(path):
    """{name: (address, size)} of .symtab's Go functions; a name that stands twice is left out."""
    found, twice = {}, set()
    for line in run(["readelf", "-sW", str(path)]).splitlines():
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[3] == "FUNC" and fields[6] not in ("UND", "ABS"):
            name = re.sub(r"\.abi(0|internal)$", "", fields[7].strip())
            if name in found:
                twice.add(name)
            found[name] = (int(fields[1], 16), int(fields[2], 0))
    return {name: where for name, where in found.items() if name not in twice and not NOT_IN_TABLE.match(name)}


def sonde_symbols(sonde, path, *arguments):
    answer = subprocess.run([sonde, "symbols", str(path), *arguments, "-o", "json"], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise AssertionError(f"sonde symbols: {answer.stderr.strip()}")
    return json.loads(answer.stdout)


def without_sections(path, out):
    data = bytearray(path.read_bytes())
    data[0x28:0x30] = bytes(8)  # e_shoff
    data[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    out.write_bytes(data)


def differences(truth, document):
    """Lines about functions of Go that sonde has not, or elsewhere."""
    ours = {}
    for function in document["functions"]:
        if function["source"] == "pclntab":
            ours.setdefault(function["name"], []).append(function)
    wrong = []
    compared = 0
    for name, (address, size) in truth.items():
        if OF_C.match(name):
            continue
        compared += 1
        # Until 1.20 the linker wrote "Sum[...]" for all instances of a generic function.
        candidates = ours.get(name, []) + ours.get(re.sub(r"\[.*\]", "[...]", name), [])
        found = [f for f in candidates if f["address"] == address]
        if not found:
            wrong.append(f"{name}: not at {address:#x}, {[hex(f['address']) for f in candidates]}")
        elif not size <= found[0]["size"] <= size + MAX_PADDING:
            wrong.append(f"{name}: {found[0]['size']} bytes, the symbol table says {size}")
    return compared, wrong


def instructions(path):
    """{address: mnemonic} as objdump decodes them."""
    found = {}
    for line in run(["objdump", "-d", "--no-show-raw-insn", "-M", "intel", str(path)]).splitlines():
        match = re.match(r"^ +([0-9a-f]+):\t(?:repz |bnd |cs |notrack )*(\S+)", line)
        if match:
            found[int(match[1], 16)] = match[2]
    return found


def wrong_sites(decoded, document):
    """Lines about functions that would be probed at other places than they begin and end at."""
    addresses = sorted(decoded)
    returns = [a for a in addresses if decoded[a].startswith("ret")]
    wrong, behind_check = [], 0
    for f in document["functions"]:
        if f["source"] != "pclntab" or "entry" not in f:
            continue
        end = f["address"] + f["size"]
        true = returns[bisect.bisect_left(returns, f["address"]):bisect.bisect_left(returns, end)]
        ours = [f["address"] + r["offset"] for r in f["returns"]]
        if ours != true:
            wrong.append(f"{f['name']}: returns at {ours}, objdump says {true}")
        entry = f["address"] + f["entry"]["offset"]
        if entry not in decoded or f["entry"]["emulated"] and decoded[entry] not in ("push", "nop", "jmp", "call"):
            wrong.append(f"{f['name']}: the entry {entry:#x} is {decoded.get(entry, 'no instruction')}")
        behind_check += f["entry"]["offset"] > 0
    if behind_check < 500:
        wrong.append(f"only {behind_check} entries are behind a stack check")
    return wrong


def check(sonde, version, name, plain, folder):
    truth = readelf_functions(plain)
    stripped, bare = folder / "stripped", folder / "bare"
    run(["strip", "--strip-all", "-o", str(stripped), str(plain)])
    without_sections(stripped, bare)
    decoded = instructions(plain)
    failed = False
    for what, path in (("stripped", stripped), ("without sections", bare)):
        try:
            document = sonde_symbols(sonde, path, "--sites")
            compared, wrong = differences(truth, document)
            wrong += wrong_sites(decoded, document)
            go = document["go"] or {}
            if go.get("package") != "example.com/node":
                wrong.append(f"build information: {go}")
            if document["problems"]:
                wrong.append(f"problems: {document['problems']}")
            if compared < 1000:
                wrong.append(f"only {compared} functions compared")
        except AssertionError as error:
            compared, wrong = 0, [str(error)]
        print(f"go {version:8} {name:12} {what:18} {compared:6} functions, {len(wrong)} differ", flush=True)
        for line in wrong[:5]:
            print("    " + line)
        failed = failed or bool(wrong)
    return not failed


def main():
    sonde, versions = sys.argv[1], sys.argv[2:]
    good, tried = True, 0
    with tempfile.TemporaryDirectory(prefix="sonde-go-") as folder:
        for version in versions:
            goroot = go_build.toolchain(version)
            if goroot is None:
                continue
            for name, (cgo, flags) in BUILDS.items():
                plain = Path(folder) / f"{name}-{version}"
                try:
                    go_build.build(goroot, "go_program", plain, flags, cgo)
                except subprocess.CalledProcessError as error:
                    print(f"go {version} {name}: NOT TESTED: it does not build: {error.stderr.strip()[:300]}")
                    good = False
                    continue
                tried += 1
                good = check(sonde, version, name, plain, Path(folder)) and good
    if tried == 0:
        print(go_build.NOTHING)
        return 77
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
