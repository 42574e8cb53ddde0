#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  truth.py in a virtual machine with another kernel.
# Why:   a disk of set speed (null_blk) and a link of set delay (netem) are kernel modules that not every host has.
# Usage: tests/truth/in_vm.sh BUILD_DIR 6.1|6.12 [options of truth.py]
# Exit:  that of truth.py; else as scripts/vm.sh.
set -euo pipefail

[[ $# -ge 2 ]] || { sed -n '3,/^set/{/^#/s/^# \?//p}' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
kernel=$2
shift 2

exec "$root/scripts/vm.sh" --timeout 600 --mem 2048 --python --copy "$root/tests/truth" --copy "$build/sonde" \
    --copy "$build/sonde-load" --copy "$(type -P ss)" --copy "$(type -P nstat)" \
    "$kernel" /usr/bin/python3 "$root/tests/truth/truth.py" --slow --complete sched,offcpu,block,tcp --build-dir "$build" --disk /dev/vda "$@"
