#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_layers.py [ROOT]: which folder may include which, and no circles.

Reads the #include lines of userspace/, tuning/ and bpf/ and fails on an include that the table ARROWS does not
allow, on a quoted include that names no file, on libbpf or a skeleton outside probes, and on a circle between
files or between folders. Exit status 1, and one line per failure.
"""
import os
import re
import sys

# Folder -> the folders whose headers it may include besides its own.
ARROWS = {
    "userspace/base": [],
    "userspace/config": ["userspace/base"],
    "userspace/catalog": ["userspace/base"],
    "userspace/symbols": ["userspace/base"],
    "userspace/metrics": ["userspace/base", "bpf/abi"],
    "userspace/host": ["userspace/base", "userspace/metrics"],
    "userspace/probes": ["userspace/base", "userspace/symbols", "userspace/metrics", "bpf/abi"],
    "userspace/verdict": ["userspace/metrics"],
    "userspace/store": ["userspace/base", "userspace/metrics", "userspace/verdict"],
    "userspace/export": ["userspace/metrics", "userspace/verdict"],
    "userspace/http": ["userspace/base", "userspace/export", "userspace/store"],
    "tuning": ["userspace/base", "userspace/metrics"],
    "userspace/app": ["userspace/" + folder for folder in (
        "base", "catalog", "config", "symbols", "metrics", "host", "probes", "verdict", "store", "export", "http")] + ["tuning"],
    "userspace/cli": ["userspace/app", "userspace/catalog", "userspace/config", "userspace/store", "userspace/export", "tuning",
                      "userspace/base"],
    "userspace": ["userspace/cli"],  # main.cpp
    "bpf": ["bpf/lib", "bpf/abi", "vmlinux"],
    "bpf/lib": ["bpf/abi", "vmlinux"],
    "bpf/abi": ["vmlinux"],  # only where it is compiled as BPF C
}
# The only folders that may include libbpf's headers; the BPF side uses its helper headers.
LIBBPF = {"userspace/probes": r"<bpf/|\.skel\.h", "bpf": r"<bpf/bpf_", "bpf/lib": r"<bpf/bpf_"}
# Made by the build, so that they are not in the source tree.
GENERATED = {"vmlinux.h": "vmlinux", "userspace/cli/version.h": "userspace/cli"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(<[^>]+>|"[^"]+")')
COMMENT = re.compile(r"/\*.*?\*/", re.S)


def keep_lines(comment):
    return "\n" * comment[0].count("\n")


def layer_of(path):
    """The folder in ARROWS that a file belongs to: sub-folders of a layer are part of it."""
    folder = os.path.dirname(path)
    while folder and folder not in ARROWS:
        folder = os.path.dirname(folder)
    # No file of a folder without arrows slips in under "userspace" or "bpf".
    if folder in ("userspace", "bpf") and os.path.dirname(path) != folder:
        return None
    return folder or None


def includes(root):
    """path -> [(line number, "<...>" or '"..."')] of every source file."""
    found = {}
    for top in ("userspace", "tuning", "bpf"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith((".h", ".cpp", ".c", ".cc", ".hpp", ".h.in")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as f:
                        text = COMMENT.sub(keep_lines, f.read())
                    matches = ((n, INCLUDE.match(line)) for n, line in enumerate(text.split("\n"), 1))
                    found[os.path.relpath(path, root)] = [(n, m[1]) for n, m in matches if m]
    return found


def find_circle(graph):
    """One circle of a graph {node: set of nodes} as a list of nodes, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return None
        path.append(node)
        for following in sorted(graph.get(node, ())):
            circle = visit(following)
            if circle:
                return circle
        path.pop()
        done.add(node)
        return None

    return next(filter(None, map(visit, sorted(graph))), None)


def failures(root):
    sources = includes(root)
    if not sources:
        yield "%s: no source files" % root
    files, layers = {}, {}
    for path, lines in sorted(sources.items()):
        layer = layer_of(path)
        if layer is None:
            yield "%s: its folder has no arrows: add it to ARROWS, or move the file" % path
            continue
        for number, text in lines:
            name = text[1:-1]
            if name.startswith("bpf/") and text[0] == "<" or name.endswith(".skel.h"):
                if not re.search(LIBBPF.get(layer, "^$"), text.strip('"')):
                    yield "%s:%d: %s may not include libbpf or skeletons: %s" % (path, number, layer, name)
                continue
            if text[0] == "<" and not name.startswith(("userspace/", "tuning/")):
                continue  # the system's and other libraries'
            target = GENERATED.get(name) or layer_of(name)
            if name not in GENERATED and name not in sources:
                yield "%s:%d: %s is no file, seen from the root" % (path, number, name)
            elif target != layer and target not in ARROWS[layer]:
                yield "%s:%d: %s may not include %s: %s" % (path, number, layer, target, name)
            files.setdefault(path, set()).add(name)
            if target != layer:
                layers.setdefault(layer, set()).add(target)
    for what, graph in (("files", files), ("folders", layers)):
        circle = find_circle(graph)
        if circle:
            yield "circle of %s: %s" % (what, " -> ".join(circle))


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    found = list(failures(root))
    for failure in found:
        print(failure)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
