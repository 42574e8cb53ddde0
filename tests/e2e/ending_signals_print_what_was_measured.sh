#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

for signal in INT TERM HUP; do
    trace_in_background -o json
    sleep 0.3 # something to measure; not a condition to wait for
    kill -"$signal" "$pid"
    expect_end "$pid" 0
    valid_json
    holds '.duration_s > 0.1 and ([.histograms[].count] | add > 0)'
    [[ $(wc -l <"$err") -eq 1 ]] || fail "SIG$signal: more on stderr than the progress line"
done

# While it still loads its programs.
env --default-signal=INT "$sonde" trace -d 5 -o json >"$out" 2>"$err" &
pid=$!
started+=("$pid")
until_true 5 grep -q '^SigBlk:.*[2367abef]$' "/proc/$pid/status" # SIGINT is blocked: it is past its start
kill -INT "$pid"
SECONDS=0
expect_end "$pid" 0
((SECONDS < 4)) || fail "an early SIGINT did not end it"
valid_json
