#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  in a mount namespace without /proc, trace works, or says what it cannot tell.
# Why:   libbpf is given types in a file in memory, by a path in /proc; where that is not there it must do without.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

need_root
expect 0 unshare -m sh -c 'umount -l /proc && exec "$0" trace -o json -d 0.5' "$sonde"
holds '[.probes[] | select(.measurement == "on-CPU time")] | length == 1 and all(.status == "ok" and .events > 0)'
