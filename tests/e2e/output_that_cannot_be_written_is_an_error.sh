#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

# A reader that goes away: it ends by itself, long before its time, without a crash.
SECONDS=0
{ "$sonde" trace -d 30 --interval 200ms -o json 2>"$err" || echo $? >"$tmp/status"; } | head -c1 >/dev/null
((SECONDS < 10)) || fail "it went on though nobody reads"
[[ $(cat "$tmp/status") == 1 ]] || fail "exit status of a closed pipe is not 1"
complains 'standard output: Broken pipe'

# A closed standard output.
status=0
"$sonde" trace -d 300ms -o json 2>"$err" >&- || status=$?
[[ $status -eq 1 ]] || fail "exit status $status instead of 1 with stdout closed"
complains 'standard output'

# A full disk, in a mount namespace of our own.
mkdir "$tmp/disk"
status=0
unshare -m bash -c 'mount -t tmpfs -o size=4k tmpfs "$1" && exec "$0" trace -d 500ms -o json >"$1/out" 2>"$2"' \
    "$sonde" "$tmp/disk" "$err" || status=$?
[[ $status -eq 1 ]] || fail "exit status $status instead of 1 on a full disk"
complains 'standard output: No space left on device'
