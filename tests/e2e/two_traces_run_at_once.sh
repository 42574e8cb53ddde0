#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

"$load" pipe --seconds 15 --comm e2e-shared >/dev/null &
started+=($!)
"$sonde" trace -d 2 -o json >"$tmp/second" 2>"$tmp/progress" --comm e2e-shared &
second=$!
started+=("$second")
until_true 10 grep -q '^tracing ' "$tmp/progress"
expect 0 "$sonde" trace -d 1 -o json --comm e2e-shared
valid_json
holds '[.histograms[] | select(.labels.process == "e2e-shared").count] | add > 100'
expect_end "$second" 0
cp "$tmp/second" "$out"
valid_json
holds '[.histograms[] | select(.labels.process == "e2e-shared").count] | add > 100'
