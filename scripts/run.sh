#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  installs what is missing, builds sonde in build/ if it is not up to date, and runs it.
# Usage: scripts/run.sh [ARGS OF SONDE]      without arguments: trace -d 10
# Exit:  that of sonde; 1 if it could not be built.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build
log=$build/run.log

"$root/scripts/setup.sh" build
mkdir -p "$build"
exec 9>"$build/run.lock" # two at once must not build in one folder
flock 9

failed() {
    tail -n 40 "$log" >&2
    echo "run.sh: the build failed, see above ($log has all of it)" >&2
    exit 1
}
if [[ ! -e $build/build.ninja ]]; then
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >"$log" 2>&1 9>&- || failed
fi
if ! ninja -n -C "$build" sonde 9>&- | grep -q 'no work to do'; then
    ninja -C "$build" sonde >"$log" 2>&1 9>&- &
    ninja=$!
    trap 'kill $ninja 2>/dev/null' INT TERM
    # The line is rewritten on a terminal, and printed once elsewhere.
    [[ -t 2 ]] || echo "building sonde (a minute or two the first time)" >&2
    while kill -0 "$ninja" 2>/dev/null; do
        [[ ! -t 2 ]] || printf '\r\033[Kbuilding sonde: %s, %d s' \
            "$(grep -ao '^\[[0-9/]*\]' "$log" | tail -n1)" "$SECONDS" >&2
        sleep 0.2
    done
    [[ ! -t 2 ]] || printf '\r\033[K' >&2
    wait "$ninja" || failed
    trap - INT TERM
    echo "built sonde in $SECONDS s" >&2
fi
exec 9>&-

[[ $# -gt 0 ]] || set -- trace -d 10
exec "$build/sonde" "$@"
