#!/usr/bin/env bash
# What:  runs the kernel tests in a virtual machine with another kernel.
# Why:   kernels differ in hooks and in what they do with a quota, a request, a socket: 6.1 and 6.12 have fexit and
#        netem, and no other load.
# Usage: tests/kernel/in_vm.sh BUILD_DIR 6.1|6.12 [arguments of sonde_kernel_tests]
# Exit:  0 when all tests pass; else as scripts/vm.sh.
set -euo pipefail

[[ $# -ge 2 ]] || { sed -n '2,/^set/{/^#/s/^# \?//p}' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
kernel=$2
shift 2

# Emulated CPUs are slow; /dev/vda is the machine's empty scratch disk.
cd "$build"
exec "$root/scripts/vm.sh" --timeout 900 --mem 1536 --copy "$build/sonde_kernel_tests" --copy "$build/sonde-load" \
    "$kernel" env SONDE_TEST_SLOW=1 SONDE_TEST_DISK=/dev/vda SONDE_LOAD="$build/sonde-load" \
    "$build/sonde_kernel_tests" "$@"
