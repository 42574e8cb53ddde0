#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  installs what is missing, builds everything in build/ and runs the tests.
# Usage: scripts/test.sh [--only LABEL[,LABEL...]]     labels: unit, layers, kernel, truth, e2e, clients, soak, vm (default: all)
# Prints: how long setup and build took, then what ctest prints, with the time of each label at its end.
# Exit:  0 if tests ran and all passed or were skipped. kernel, e2e, soak and vm want root and skip without it.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build
die() { echo "test.sh: $*" >&2; exit 2; }

select=()
case ${1:-} in
    '') ;;
    --only)
        [[ $# -eq 2 && $2 =~ ^(unit|layers|kernel|truth|e2e|clients|soak|vm)(,(unit|layers|kernel|truth|e2e|clients|soak|vm))*$ ]] ||
            die "--only ${2:-}: give labels out of unit,layers,kernel,truth,e2e,clients,soak,vm"
        select=(--label-regex "^(${2//,/|})\$")
        ;;
    -h | --help) sed -n '3,/^set/{/^#/s/^# \?//p}' "$0"; exit 0 ;;
    *) die "unknown option $1 (see --help)" ;;
esac

seconds() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'; }
start=$EPOCHREALTIME
"$root/scripts/setup.sh" test
setup=$(seconds "$start")

start=$EPOCHREALTIME
mkdir -p "$build"
log=$build/test-build.log
if ! { cmake -S "$root" -B "$build" -G Ninja -DCMAKE_EXPORT_COMPILE_COMMANDS=ON && ninja -C "$build"; } >"$log" 2>&1; then
    grep -aA 30 -m 3 -E '^FAILED|error:|CMake Error' "$log" >&2 || tail -n 30 "$log" >&2
    echo "test.sh: the build failed, see above ($log has all of it)" >&2
    exit 1
fi
printf 'setup %8s s\nbuild %8s s\n' "$setup" "$(seconds "$start")"

# ctest's output, and before its summary what passed only at another try.
with_second_tries() {
    local line summary=()

    while IFS= read -r line; do
        if [[ ${#summary[@]} -gt 0 || $line =~ ^[0-9]+%\ tests\ passed ]]; then
            summary+=("$line")
        else
            printf '%s\n' "$line"
        fi
    done
    grep -aE '^ *try [0-9]+: |^Passed at the second try only:' "$build/Testing/Temporary/LastTest.log" | sed 's/^/again: /' || true
    [[ ${#summary[@]} -eq 0 ]] || printf '%s\n' "${summary[@]}"
}
# What measures this machine runs alone; unit tests and virtual machines may run two at a time.
ctest --test-dir "$build" --parallel 2 --output-on-failure --no-tests=error --output-junit test-results.xml "${select[@]}" |
    with_second_tries
