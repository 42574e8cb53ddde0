#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  bench.py in a virtual machine with another kernel.
# Why:   tcprtt needs kprobes, which not every host has. The CPU is emulated: of what it prints, only ratios between
#        tools of one run say something.
# Usage: tests/bench/in_vm.sh BUILD_DIR 6.1|6.12 [options of bench.py]      as --only in-program-tcp --rounds 5
# Exit:  that of bench.py; else as scripts/vm.sh.
set -euo pipefail

[[ $# -ge 2 ]] || { sed -n '3,/^set/{/^#/s/^# \?//p}' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
kernel=$2
shift 2

copies=()
for path in "$root"/tests/{bench,clients,truth} "$build"/sonde{,-load,-bench-empty,-bench-calls}; do
    copies+=(--copy "$path")
done
PATH=$PATH:/usr/sbin
for tool in nice taskset bpftool tcprtt runqlat biolatency funclatency; do
    path=$(type -P "$tool") || { echo "in_vm.sh: no $tool here" >&2; continue; }
    copies+=(--copy "$path")
done
exec "$root/scripts/vm.sh" --timeout 900 --mem 2048 --python "${copies[@]}" \
    "$kernel" /usr/bin/python3 "$root/tests/bench/bench.py" --build-dir "$build" "$@"
