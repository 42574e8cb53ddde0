#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root
need setpriv

chmod 755 "$tmp"
cp "$sonde" "$tmp/sonde" # the build folder may be out of reach for nobody
as_nobody() { # CAPABILITIES(e.g. +bpf,+perfmon) STATUS ARGS...
    expect "$2" setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps="-all$1" --ambient-caps="-all$1" \
        --bounding-set="-all$1" "$tmp/sonde" "${@:3}"
}
as_nobody '' 3 trace -d 1
complains 'CAP_BPF.*CAP_PERFMON'
as_nobody ,+bpf 3 trace -d 1
complains 'needs CAP_PERFMON'
as_nobody ,+perfmon 3 trace -d 1
complains 'needs CAP_BPF'

as_nobody ,+bpf,+perfmon 0 trace -d 1 -o json
valid_json
holds '[.histograms[] | select(.name == "sonde_sched_runq_latency_seconds").count] | add > 0'
holds '[.probes[] | select(.measurement == "run-queue latency").status] == ["ok"]'

as_nobody '' 3 doctor
grep -q 'grant CAP_BPF CAP_PERFMON' "$out" || fail "doctor does not name the capabilities"
as_nobody '' 3 doctor -o json
holds '.all_work == false and ([.measurements[].status] | all(. == "off"))'
holds '[.measurements[].reason] | all(length > 0)'
as_nobody ,+bpf,+perfmon 0 doctor -o json
holds '.all_work'
