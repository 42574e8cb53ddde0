#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

mkfifo "$tmp/pipe"
exec {reader}<>"$tmp/pipe" # opened, never read
env --default-signal=INT "$sonde" trace --interval 20ms -o json >"$tmp/pipe" 2>"$err" &
pid=$!
started+=("$pid")
pipe_is_full() { # our end is open for writing too: nothing more can be written
    python3 -c 'import select, sys; sys.exit(1 if select.select([], [int(sys.argv[1])], [], 0)[1] else 0)' "$reader"
}
until_true 15 pipe_is_full
kill -TERM "$pid"
sleep 0.5
kill -TERM "$pid" 2>/dev/null || true # the second one may not wait for the output
ended() { [[ $(awk '{ print $3 }' "/proc/$pid/stat" 2>/dev/null || echo Z) == Z ]]; }
until_true 5 ended
exec {reader}>&-
