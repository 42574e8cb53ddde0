#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root
need bpftool

trace_in_background
# By id, as other traces may run on this machine.
ids() { sed -n "s/^$1:\t//p" "/proc/$pid/fdinfo"/* | sort -nu; }
programs=$(ids prog_id) maps=$(ids map_id)
[[ -n $programs && -n $maps ]] || fail "a running trace holds no programs or maps"
for id in $programs; do bpftool prog show id "$id" >/dev/null || fail "no program $id while tracing"; done

kill -KILL "$pid"
expect_end "$pid" $((128 + 9))
gone() {
    local id
    for id in $programs; do ! bpftool prog show id "$id" || return 1; done
    for id in $maps; do ! bpftool map show id "$id" || return 1; done
}
until_true 10 gone
[[ -z $(find /sys/fs/bpf -name '*sonde*' 2>/dev/null) ]] || fail "something is pinned in /sys/fs/bpf"
echo "$(wc -w <<<"$programs") programs, $(wc -w <<<"$maps") maps: gone"
