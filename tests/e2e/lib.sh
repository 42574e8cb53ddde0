# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What: what the end-to-end tests share; each sources it. They drive the binary only.
# Use:  tests/e2e/NAME.sh runs one by hand, with build/sonde and build/sonde-load or with $SONDE and $SONDE_LOAD.
#       Exit status 77 means skipped: what is missing is on the last line.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
sonde=${SONDE:-$root/build/sonde}
# shellcheck disable=SC2034 # the tests use it
load=${SONDE_LOAD:-$root/build/sonde-load}
schema=$root/userspace/export/schema/trace-1.schema.json
tmp=$(mktemp -d "${TMPDIR:-/tmp}/sonde-e2e.XXXXXX")
out=$tmp/out err=$tmp/err
started=() # processes to end with the test
launcher=()
patience=1 # limits of time are multiplied by it
[[ ${SONDE_TEST_SLOW:-} != 1 ]] || patience=4
export LC_ALL=C.UTF-8

# shellcheck disable=SC2317 # the trap calls it
cleanup() {
    local pid
    for pid in ${started[@]+"${started[@]}"}; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$tmp"
}
trap cleanup EXIT

fail() {
    echo "FAILED: $*"
    [[ ! -s $err ]] || { echo "--- stderr:"; head -c 2000 "$err"; }
    [[ ! -s $out ]] || { echo "--- stdout:"; head -c 2000 "$out"; }
    exit 1
}
skip() { echo "skipped: $*"; exit 77; }
need() { command -v "$1" >/dev/null || skip "no $1 here"; }
need_root() { [[ $(id -u) -eq 0 ]] || skip "needs root"; }

# expect STATUS COMMAND...: runs it, with stdout in $out and stderr in $err.
expect() {
    local want=$1 got=0
    shift
    timeout -k 2 $((20 * patience)) "$@" >"$out" 2>"$err" </dev/null || got=$?
    [[ $got -eq $want ]] || fail "exit status $got instead of $want: $*"
}
# expect_end PID STATUS: waits for a process that this shell started.
expect_end() {
    local got=0
    wait "$1" || got=$?
    [[ $got -eq $2 ]] || fail "process $1: exit status $got instead of $2"
}
# complains REGEX: stderr is one line that matches, besides the progress line; stdout is empty.
complains() {
    local lines
    lines=$(grep -v '^tracing ' "$err" || true)
    [[ -n $lines && $lines != *$'\n'* ]] || fail "stderr is not one line"
    [[ $lines =~ $1 ]] || fail "stderr does not match '$1'"
    [[ ! -s $out ]] || fail "stdout is not empty"
}
valid_json() { "$root/tests/unit/schema_test.py" "$schema" "${1:-$out}" || fail "not a valid document"; }
# holds EXPRESSION [jq options]: the jq expression is true of the document(s) in $out.
holds() { jq -e "${@:2}" "$1" "$out" >/dev/null || fail "not true of the output: $*"; }
# until_true SECONDS COMMAND...: tries until it succeeds.
until_true() {
    local end=$((SECONDS + $1 * patience))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "did not become true: $*"
        sleep 0.05
    done
}
# In the background, through env: a shell would make background processes ignore SIGINT, and pass that on.
trace_in_background() { # $launcher: an array, what leads to sonde; empty by default
    : >"$err" # what an earlier trace has left there must not count
    env --default-signal=INT "${launcher[@]}" "$sonde" trace "$@" >"$out" 2>"$err" </dev/null &
    pid=$!
    started+=("$pid")
    until_true 10 grep -q '^tracing ' "$err"
}
