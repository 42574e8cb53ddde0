#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

for signal in TERM KILL; do
    "$load" pipe --seconds 15 --comm e2e-mortal >/dev/null &
    mortal=$!
    started+=("$mortal")
    until_true 5 grep -qx e2e-mortal "/proc/$mortal/comm"
    trace_in_background -d 30 -o json -p "$mortal"
    sleep 0.3 # something to measure
    SECONDS=0
    kill -"$signal" "$mortal"
    expect_end "$pid" 0
    ((SECONDS < 5)) || fail "the trace went on after its process had ended"
    grep -q "process $mortal has ended" "$err" || fail "it does not say that the process has ended"
    valid_json
    holds '[.histograms[] | select(.labels.process == "e2e-mortal").count] | add > 0'
    holds '[.histograms[].labels.process | select(. != null)] | all(. == "e2e-mortal")'
done
