#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

status=0
"$sonde" doctor -o json >"$out" 2>"$err" || status=$?
[[ ! -s $err ]] || fail "doctor complains"
[[ $(wc -l <"$out") -eq 1 ]] || fail "not one line"
python3 -m jsonschema -i "$out" "$root/userspace/export/schema/doctor-1.schema.json" || fail "not as its schema says"
holds '.schema == "sonde.doctor/1" and .kernel == $kernel and .cpus >= $cpus' \
    --arg kernel "$(uname -r)" --argjson cpus "$(nproc)"
holds '[.measurements[] | has("measurement", "status", "hook", "cost", "reason", "remedy", "rejected")] | length >= 8 and all'
holds '.measurements | all(if .status == "off" then .hook == "" and .reason != ""
    elif .status == "degraded" then .hook != "" and .reason != "" else .status == "ok" and .hook != "" end)'
holds '.facts | has("lockdown", "capabilities")'
holds '.kernel_memory_bytes.here > 0'
off=$(jq '[.measurements[] | select(.status == "off")] | length' "$out")
[[ $status -eq $((off > 0 ? 1 : 0)) ]] || fail "exit status $status with $off measurements off"
names=$(jq -r '.measurements[].measurement' "$out")

# The text says the same.
expect "$status" "$sonde" doctor
while read -r name; do
    grep -q "^$name  *\(ok\|degraded\|off\) " "$out" || fail "the text lacks $name"
done <<<"$names"

# What it promises is what a trace then uses.
expect 0 "$sonde" trace -d 200ms -o json
[[ $(jq -r '.probes[].measurement' "$out" | sort) == "$(sort <<<"$names")" ]] || fail "trace measures something else"
