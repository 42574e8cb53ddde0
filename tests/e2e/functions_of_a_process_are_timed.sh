#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root
need cc

cat >"$tmp/program.c" <<'C'
#include <time.h>
#include <stdio.h>
#include <stdlib.h>
#define FUNCTION __attribute__((noinline)) void
FUNCTION waits(void) { struct timespec t = {0, 5000000}; nanosleep(&t, 0); __asm__ volatile(""); }
FUNCTION is_called(int i) { __asm__ volatile("" :: "r"(i)); }
int main(int argc, char **argv) {
    char line[8];
    puts("ready"); fflush(stdout); fgets(line, sizeof(line), stdin);
    for (int i = 0; i < atoi(argv[1]); ++i) { waits(); is_called(i); is_called(i + 1); }
    puts("done"); fflush(stdout); fgets(line, sizeof(line), stdin);
    return 0;
}
C
cc -O1 -o "$tmp/program" "$tmp/program.c"
mkfifo "$tmp/in"
exec 5<>"$tmp/in"
"$tmp/program" 100 <"$tmp/in" >"$tmp/program.out" &
pid=$!
started+=("$pid")
until_true 5 grep -q ready "$tmp/program.out"

# By its number one function, by its path another; the trace begins before its work and ends after it.
program=$pid
trace_in_background --uprobe "$pid:waits" --uprobe "$tmp/program:is_*" -o json
echo >&5
until_true 10 grep -q "done" "$tmp/program.out"
kill -INT "$pid"
expect_end "$pid" 0
pid=$program
valid_json
holds '[.histograms[] | select(.labels.call == "waits")] | length == 1 and .[0].count == 100 and .[0].min >= 0.005'
holds '[.histograms[] | select(.labels.call == "is_called")] | length == 1 and .[0].count == 200'
holds '.histograms | all(.name == "sonde_client_call_seconds" and .labels.process == "program")'
holds '.probes | length == 1 and .[0].measurement == "client calls" and .[0].status == "ok" and .[0].discarded == {}'

# Together with another probe, as a table.
expect 0 "$sonde" trace -d 0.3 --probes sched --uprobe "$pid:waits"
grep -q '^Run-queue latency' "$out" || fail "no table of the other probe"
grep -q 'not called so far: waits' "$out" || fail "it does not say that nothing was called"

refused() { # REGEX STATUS ARGS...
    expect "$2" "$sonde" trace -d 0.1 --uprobe "${@:3}"
    complains "$1"
}
refused 'give PATH_OR_PID:PATTERN' 2 waits
refused 'give PATH_OR_PID:PATTERN' 2 "$pid:"
refused 'there is no process 4194304' 1 4194304:waits
refused 'no process runs' 1 "$sonde:main"
refused 'No such file' 1 "$tmp/none:waits"
refused 'no function of .* fits nothing_like_it' 1 "$pid:nothing_like_it"
kill "$pid"
