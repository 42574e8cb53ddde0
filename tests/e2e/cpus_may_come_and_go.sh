#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  traces a machine whose second CPU is taken offline and brought back, again and again, under load: every
#        connection and request is counted once, and every interval is a valid document whose counters only grow.
# Why:   rows are per CPU, and a task's beginning may lie on a CPU that is gone. A host's CPUs are not to be switched
#        off, so it takes a virtual machine.
# Usage: tests/e2e/cpus_may_come_and_go.sh [KERNEL]     (6.12)
# Exit:  0 passed; else as scripts/vm.sh.
set -euo pipefail
. "$(dirname "$0")/in_vm.sh"
go_on_in_vm "${1:-6.12}"

cpu1=/sys/devices/system/cpu/cpu1/online
rounds=6
toggle() { # takes CPU 1 away and brings it back, $rounds times; counts in $tmp/toggled
    local round
    for ((round = 1; round <= rounds; round++)); do
        echo 0 >"$cpu1" && sleep 0.7 && echo 1 >"$cpu1" && sleep 0.7 || return 1
        echo "$round" >"$tmp/toggled"
    done
}
# sum SELECTOR: of the counts of histograms that it selects, over all documents.
sum() { jq -s "[.[].histograms[] | select($1).count] | add // 0" "$out"; }

[[ -w $cpu1 ]] || fail "CPU 1 cannot be switched here"
echo 0 >"$cpu1" # tracing begins with one CPU of two
trace_in_background -o json --interval 1s
echo 1 >"$cpu1"
toggle & toggling=$!
started+=("$toggling")
loads=()
"$load" tcp-connect --port 7001 --rate 50 --seconds 9 --comm soak-tcp >"$tmp/connect" & loads+=($!)
"$load" tcp-connect --port 7002 --rate 20 --seconds 9 --ipv6 --refused --comm soak-tcp >"$tmp/refused" & loads+=($!)
"$load" direct-read --file /dev/vda --size-mb 100 --seconds 9 --count 2000 --comm soak-disk >"$tmp/disk" & loads+=($!)
"$load" churn --rate 20 --seconds 9 --exec /bin/true --comm soak >"$tmp/churn" & loads+=($!)
"$load" pipe --seconds 9 --comm soak-pipe >"$tmp/pipe" & loads+=($!)
started+=("${loads[@]}")
for each in "${loads[@]}"; do expect_end "$each" 0; done
expect_end "$toggling" 0
[[ $(cat "$tmp/toggled") == "$rounds" ]] || fail "CPU 1 went and came $(cat "$tmp/toggled") times"
kill -INT "$pid"
expect_end "$pid" 0

truth() { jq ".$2" "$tmp/$1"; }
connects=$(sum '.name == "sonde_tcp_connect_latency_seconds" and .labels.port == "7001"')
[[ $connects == "$(truth connect count)" ]] || fail "$connects connects of $(truth connect count)"
refused=$(jq -s '[.[].counters[] | select(.name == "sonde_tcp_connect_failures_total" and .labels.port == "7002").value]
    | add // 0' "$out")
[[ $refused == "$(truth refused count)" ]] || fail "$refused refused connects of $(truth refused count)"
reads=$(sum '.name == "sonde_block_io_latency_seconds" and .labels.op == "read" and .labels.stage == "device"')
[[ $reads == "$(truth disk count)" ]] || fail "$reads reads of $(truth disk count)"
slices=$(sum '.name == "sonde_sched_oncpu_seconds" and (.labels.process | startswith("soak"))')
waits=$(sum '.name == "sonde_sched_runq_latency_seconds" and (.labels.process | startswith("soak"))')
discarded=$(jq -s '[.[].probes[] | select(.measurement == "on-CPU time").discarded[]] | add // 0' "$out")
off=$((slices > waits ? slices - waits : waits - slices))
((slices > 1000 && off <= discarded + slices / 1000 + 5)) ||
    fail "$slices slices, $waits waits for a CPU, $discarded discarded"
holds '[.[] | .histograms[].count, .counters[].value, .probes[].events, .probes[].discarded[]] | max < 1e15' --slurp
holds 'length >= 8' --slurp
echo "$connects connects, $refused refused, $reads reads, $slices slices, $waits waits, $discarded discarded;" \
    "CPU 1 went and came $rounds times"
