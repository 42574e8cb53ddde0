#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

# While nobody reads, more processes come and go than there is room for at a time.
cat >"$tmp/pausing.py" <<'PY'
import subprocess, sys, time
sonde = subprocess.Popen([sys.argv[1], "trace", "--interval", "100ms", "-o", "json", "--probes", "sched"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
assert sonde.stderr.readline().startswith("tracing ")
load = subprocess.run([sys.argv[2], "churn", "--rate", "800", "--count", "4000", "--seconds", "15", "--comm", "e2e"],
                      stdout=subprocess.PIPE, text=True, check=True)
sys.stdout.write(sonde.stdout.readline())  # the document that it waited with
time.sleep(0.5)
for _ in range(3):
    sys.stdout.write(sonde.stdout.readline())
sonde.kill()
PY
expect 0 python3 "$tmp/pausing.py" "$sonde" "$load"
valid_json
holds '[.[].histograms[].labels.process] | index("other") == null' --slurp
holds '[.[].probes[] | select(.reason | startswith("too many"))] == []' --slurp
holds '[.[].histograms[].labels.process | select(startswith("e2e"))] | unique | length > 1000' --slurp
