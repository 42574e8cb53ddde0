#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  builds the harnesses of tests/fuzz and feeds each for a while, two at a time, beginning with its corpus.
# Usage: scripts/fuzz.sh [SECONDS [HARNESS...]]     default: 60 s each, all of them
# Fails: on a crash, a claim that does not hold, an input that takes 10 s, or more than 1 GB of memory. The input is
#        then in build/sanitize-address/fuzz/reproducers; build/sanitize-address/fuzz_HARNESS FILE shows it again.
# Exit:  0 if all harnesses ran to their end.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/sanitize-address
work=$build/fuzz
die() { echo "fuzz.sh: $*" >&2; exit 2; }
[[ ${1:-} != -h && ${1:-} != --help ]] || { sed -n '3,/^set/{/^#/s/^# \?//p}' "$0"; exit 0; }
seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "$seconds: give a number of seconds"
corpora=("$root"/tests/fuzz/corpus/*)
harnesses=("${corpora[@]##*/}")
[[ $# -lt 2 ]] || harnesses=("${@:2}")

"$root/scripts/setup.sh" test
mkdir -p "$work/reproducers"
start=$EPOCHREALTIME
if ! (cmake -S "$root" -B "$build" -G Ninja -C "$root/scripts/cmake/sanitize/address.cmake" && ninja -C "$build" "${harnesses[@]/#/fuzz_}") >"$work/build.log" 2>&1; then
    tail -n 30 "$work/build.log" >&2
    die "the build failed, see above ($work/build.log has all of it)"
fi
awk -v from="$start" -v to="$EPOCHREALTIME" 'BEGIN { printf "build %8.1f s\n", to - from }'

run_harness() { # NAME: one line about it
    local name=$1 log=$work/$1.log status=0

    mkdir -p "$work/found/$name" # inputs that reached something new, kept for the next time
    # The command line writes usage messages; libFuzzer keeps its own way to stderr.
    ASAN_OPTIONS=strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 setarch -R "$build/fuzz_$name" -close_fd_mask=3 \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$work/reproducers/$name-" "$work/found/$name" "$root/tests/fuzz/corpus/$name" \
        >"$log" 2>&1 || status=$?
    awk -v name="$name" -v status="$status" '
        /^#[0-9]/ { for (i = 2; i < NF; ++i) if ($i == "cov:") cov = $(i + 1) }
        /^stat::number_of_executed_units/ { runs = $2 }
        END { printf "%-18s %9d inputs, %5d places reached  %s\n", name, runs, cov, status == 0 ? "ok" : "FAILED" }' "$log"
    [[ $status -eq 0 ]] || { grep -aA 25 -m 1 -E '^==[0-9]+==|runtime error' "$log" || tail -n 25 "$log"; return 1; }
}
export -f run_harness
export build work root seconds
printf '%s\n' "${harnesses[@]}" | xargs -n 1 -P 2 bash -c 'run_harness "$1"' _ ||
    { echo "fuzz.sh: FAILED, inputs are in $work/reproducers" >&2; exit 1; }
