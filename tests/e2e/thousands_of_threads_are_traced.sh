#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

# As many threads as the machine allows, up to 28,000.
count=28000
for limit in "$(cat /proc/sys/kernel/pid_max)" "$(cat /proc/sys/kernel/threads-max)" \
    "$(cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null | grep -m1 '[0-9]' || echo 99999)"; do
    room=$((limit - $(awk '{ split($4, t, "/"); print t[2] }' /proc/loadavg) - 3000))
    ((room > count)) || count=$room
done
((count >= 2000)) || skip "room for $count threads only"

trace_in_background -o json --probes sched
for half in 1 2; do
    "$load" threads --count $((count / 2)) --seconds 14 --comm e2e-many --ready >"$tmp/ready$half" &
    started+=($!)
done
for half in 1 2; do until_true 12 grep -q ready "$tmp/ready$half"; done
kill -INT "$pid"
expect_end "$pid" 0
valid_json
# Each thread waited for a CPU at least once, when it was new.
holds '[.histograms[] | select(.name == "sonde_sched_runq_latency_seconds" and .labels.process == "e2e-many").count]
    | add >= $count - 1' --argjson count "$count"
# Series are by name of the process: thousands of threads overflow nothing.
holds '[.histograms[].labels.process | select(. == "other")] | length == 0'
echo "$count threads"
