#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A client of the catalog that starts, starts again, or is upgraded in place while sonde traces is timed there too.
. "$(dirname "$0")/lib.sh"
need_root
need cc

# PostgreSQL by its symbols: a program of ours with the name of a function that it is known by.
program() { # VERSION
    cat >"$tmp/program.c" <<C
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#define FUNCTION __attribute__((noinline)) void
FUNCTION PostmasterMain(void) { __asm__ volatile("" ::: "memory"); }
FUNCTION XLogFlush(void) { struct timespec t = {0, 2000000 * $1}; nanosleep(&t, 0); __asm__ volatile(""); }
int main(int argc, char **argv) {
    char line[8];
    PostmasterMain();
    puts("ready"); fflush(stdout);
    setvbuf(stdin, 0, _IONBF, 0);
    while (fgets(line, sizeof(line), stdin)) {
        if (line[0] == 'x') execv(argv[0], argv);
        for (int i = 0; i < 50; ++i) XLogFlush();
        puts("done"); fflush(stdout);
    }
    return 0;
}
C
    cc -O1 -rdynamic -o "$tmp/new" "$tmp/program.c"
    mv -f "$tmp/new" "$tmp/server"
}
start() {
    : >"$tmp/said"
    "$tmp/server" <"$tmp/in" >"$tmp/said" &
    server=$!
    started+=("$server")
    until_true 5 grep -q ready "$tmp/said"
}
is_traced() { [[ $(grep -c "process $server: its calls are timed from now on" "$err") -eq $1 ]]; }
work() { # TIMES: gives it 50 calls to make, once sonde has found it so often
    until_true 5 is_traced "$1"
    echo >&5
    until_true 10 grep -q "done" "$tmp/said"
}
end() {
    kill "$server"
    wait "$server" 2>/dev/null || true
}

expect 0 "$sonde" catalog
grep -q '^geth .*go-ethereum' "$out" || fail "geth is not in the catalog"
expect 0 "$sonde" catalog geth -o json
holds '.clients[0].calls | any(.call == "block_import" and .within == "new_payload")'
expect 1 "$sonde" catalog no_such_client
complains 'there is no .no_such_client. in it'
printf 'client: x\ntitle: x\nknd: database\n' >"$tmp/bad.yaml"
expect 1 "$sonde" catalog --check "$tmp/bad.yaml"
complains "bad.yaml:3: there is no key 'knd'"
expect 2 "$sonde" trace --client no_such_client
complains 'there is no such client'

program 1
mkfifo "$tmp/in"
exec 5<>"$tmp/in"
start
expect 0 "$sonde" clients -o json
holds '.schema == "sonde.clients/1" and (.clients[] | select(.pids | index($pid)) |
    .client == "postgresql" and .process == "server" and (.calls[] | select(.call == "wal_flush")).state == "can be timed")' \
    --argjson pid "$server"
expect 0 "$sonde" clients
grep -q '^postgresql.*pid ' "$out" || fail "it is not shown"
kill "$server"

# From before it starts to behind its end: as it was, again, upgraded, and upgraded while it runs.
trace_in_background --client postgresql --comm server -v -o json
tracer=$pid
start && work 1 && end
start && work 1 && end
program 3
start && work 1
program 4
: >"$tmp/said"
echo x >&5
until_true 5 grep -q ready "$tmp/said"
work 2 && end
kill -INT "$tracer"
expect_end "$tracer" 0
valid_json
holds '[.histograms[] | select(.labels.call == "wal_flush")] | length == 1 and .[0].count == 200 and
    .[0].labels == {"client": "postgresql", "process": "server", "call": "wal_flush"} and .[0].min >= 0.002 and .[0].max >= 0.008'
holds '.calls[] | select(.call == "wal_flush") | .begun == 200 and .within == "commit"'
holds '.probes[0].discarded == {}'
