#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

trace_in_background -o json -- bash -c 'trap "exit 9" TERM; echo $$ >"$0"; while :; do sleep 0.05; done' "$tmp/pid"
until_true 5 test -s "$tmp/pid"
kill -TERM "$pid"
expect_end "$pid" 9
valid_json

trace_in_background -o json -- sleep 30
kill -TERM "$pid"
expect_end "$pid" $((128 + 15))
valid_json

# A command that ignores it: the second signal ends the trace.
trace_in_background -o json -- bash -c 'trap "" TERM; echo $$ >"$0"; exec sleep 30' "$tmp/stubborn"
until_true 5 test -s "$tmp/stubborn"
started+=("$(cat "$tmp/stubborn")")
kill -TERM "$pid"
sleep 0.3
kill -TERM "$pid"
expect_end "$pid" 0
valid_json
