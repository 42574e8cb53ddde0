#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

expect 0 "$sonde" trace -d 1 -o prom
"$(dirname "$0")/check_prometheus.py" "$out" || fail "wrong Prometheus text"
grep -q '^sonde_sched_runq_latency_seconds_count{' "$out" || fail "no run-queue latency"
