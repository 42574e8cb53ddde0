#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

expect 0 "$sonde" trace -d 1 -o json
valid_json
holds 'length == 1 and (.[0] | .duration_s >= 1 and .duration_s < 3)' --slurp
holds '[.histograms[] | select(.name == "sonde_sched_runq_latency_seconds") | .count] | add > 0'
holds '.host == $host and .kernel == $kernel' --arg host "$(uname -n)" --arg kernel "$(uname -r)"

# Only the probes that were asked for.
expect 0 "$sonde" trace -d 500ms -o json --probes tcp
valid_json
holds '[.probes[].measurement] | length > 0 and all(startswith("TCP"))'
