#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

mkfifo "$tmp/pipe"
exec {reader}<>"$tmp/pipe" # opened, never read
env --default-signal=INT "$sonde" trace --interval 20ms -o json >"$tmp/pipe" 2>"$err" &
pid=$!
started+=("$pid")
until_true 15 grep -qE 'pipe_write|poll' "/proc/$pid/wchan" # the pipe is full
kill -TERM "$pid"
sleep 0.5
kill -TERM "$pid" 2>/dev/null || true # the second one may not wait for the output
ended() { [[ $(awk '{ print $3 }' "/proc/$pid/stat" 2>/dev/null || echo Z) == Z ]]; }
until_true 5 ended
exec {reader}>&-
