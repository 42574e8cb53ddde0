#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  runs the kernel tests in a virtual machine with another kernel, locked down or not; before them sonde doctor,
#        which must find that every measurement works there.
# Why:   kernels differ in hooks and in what they do with a quota, a request, a socket: 6.1 and 6.12 have fexit and
#        netem, and no other load. Secure Boot locks kernels down; confidentiality refuses bpf_probe_read_kernel.
# Usage: tests/kernel/in_vm.sh BUILD_DIR 6.1|6.12 none|integrity|confidentiality [arguments of sonde_kernel_tests]
# Exit:  0 when all tests pass; else as scripts/vm.sh (124: the kernel reported a bug).
# The host may stop an emulated CPU at any moment, for longer than a test allows: what fails runs once more, by itself,
# and is named at the end.
set -euo pipefail

[[ $# -ge 3 ]] || { sed -n '3,/^set/{/^#/s/^# \?//p}' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
kernel=$2 lockdown=$3
shift 3

in_guest='
report=$("$1" doctor -o json)
echo "$report"
# Confidentiality takes one reason from off-CPU time; nothing else may be less than whole.
limited=$(echo "$report" | grep -o "\"status\":\"degraded\"" | wc -l)
[ "$2" = confidentiality ] && allowed=1 || allowed=0
[ "$limited" -eq "$allowed" ] || { echo "FAILED: $limited measurements are degraded"; exit 1; }
case $report in
    *\"status\":\"off\"*) echo "FAILED: not all measurements work"; exit 1 ;;
    *\"lockdown\":\"$2\"*) ;;
    *) echo "FAILED: doctor does not say that lockdown is $2"; exit 1 ;;
esac
shift 2
log=$(mktemp)
{ "$@"; echo $? >"$log.status"; } 2>&1 | tee "$log"
status=$(cat "$log.status")
[ "$status" -eq 1 ] || exit "$status" # 1: it ran to its end
again=$(sed -n "s/^\[  FAILED  \] \([^ ,]*\.[^ ,]*\).*/\1/p" "$log" | sort -u)
[ -n "$again" ] || exit 1
echo "Once more: $again"
"$@" --gtest_filter="$(echo "$again" | tr "\n" :)" || exit 1
echo "Passed at the second try only:" $again'

# Emulated CPUs are slow; /dev/vda is the machine's empty scratch disk.
cd "$build"
exec "$root/scripts/vm.sh" --lockdown "$lockdown" --timeout 900 --mem 1536 --copy "$build/sonde" \
    --copy "$build/sonde_kernel_tests" --copy "$build/sonde-load" --copy "$root/tests/kernel/verifier_cost.json" \
    "$kernel" env SONDE_TEST_SLOW=1 SONDE_TEST_DISK=/dev/vda SONDE_LOAD="$build/sonde-load" \
    ${SONDE_RECORD_VERIFIER_COST:+SONDE_RECORD_VERIFIER_COST=1} \
    sh -c "$in_guest" sh "$build/sonde" "$lockdown" "$build/sonde_kernel_tests" "$@"
