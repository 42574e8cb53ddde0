#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

"$load" sleep --usec 1000 --seconds 4 --comm e2e-sleeper >/dev/null &
started+=($!)
expect 0 "$sonde" trace -d 2 --interval 500ms -o json --comm e2e-sleeper
valid_json
holds 'length == 4 or length == 5' --slurp
holds '[.[].duration_s] | add | . > 1.9 and . < 3' --slurp
# An interval holds what came in it, not the total so far: no later one is far above the first.
holds '[.[] | [.histograms[] | select(.name == "sonde_sched_oncpu_seconds").count] | add // 0]
    | .[0] > 0 and .[3] > 0 and .[3] < 3 * .[0]' --slurp

# Without --interval to end it early, an interval longer than the trace gives one document.
expect 0 "$sonde" trace -d 500ms --interval 10 -o json
valid_json
holds 'length == 1' --slurp
