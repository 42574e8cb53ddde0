#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

"$load" pipe --seconds 15 --comm e2e-outsider >/dev/null &
started+=($!)
expect 0 "$sonde" trace -o json -- bash -c 'bash -c "\"\$0\" pipe --count 2000 --comm e2e-grandchild >/dev/null; true" "$0"; true' "$load"
valid_json
holds '[.histograms[] | select(.labels.process == "e2e-grandchild" and .name == "sonde_sched_oncpu_seconds").count]
    | add >= 2000'
holds '[.histograms[].labels.process | select(. != null)] | index("e2e-outsider") == null'

# One that outlives its parent is still followed while the trace goes on.
expect 0 "$sonde" trace -o json -- bash -c '("$0" pipe --count 500 --comm e2e-orphan >/dev/null &); sleep 1' "$load"
valid_json
holds '[.histograms[] | select(.labels.process == "e2e-orphan").count] | add >= 500'
