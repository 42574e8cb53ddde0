#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

sh -c 'exit 0' & # a pid that has just been free
gone=$!
wait "$gone"
expect 1 "$sonde" trace -d 1 -p "$gone"
complains "no process $gone"

"$load" threads --count 2 --seconds 15 --ready >"$tmp/ready" &
pid=$!
started+=("$pid")
until_true 5 grep -q ready "$tmp/ready"
thread=$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -vx "$pid" | head -n1)
expect 2 "$sonde" trace -d 1 -p "$thread"
complains "$thread is a thread of process $pid"

expect 1 "$sonde" trace -d 1 --cgroup /nonexistent
complains 'cgroup /nonexistent: No such file or directory'
expect 2 "$sonde" trace -d 1 --cgroup "$tmp"
complains 'is not a cgroup'
v1=$(awk '$3 == "cgroup" && $4 ~ /cpu/ { print $2; exit }' /proc/mounts)
if [[ -n $v1 ]]; then
    expect 2 "$sonde" trace -d 1 --cgroup "$v1"
    complains 'cgroup v1'
fi

# A name may yet come: that is no error, but said.
expect 0 "$sonde" trace -d 100ms -o json --comm e2e-nobody
valid_json
[[ $(grep -v '^tracing ' "$err") == 'sonde trace: no process is named e2e-nobody now'* ]] || fail "no word of it on stderr"

for command in 'trace -d 1' doctor; do
    # shellcheck disable=SC2086 # two words
    expect 1 "$sonde" $command --btf /nonexistent
    complains 'BTF.*/nonexistent: No such file or directory'
done
