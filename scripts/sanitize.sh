#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  builds sonde and its tests with a sanitizer, or for valgrind, in a folder of its own, and runs them.
# Usage: scripts/sanitize.sh address|thread [LABEL[,LABEL...]]     labels: unit, kernel, e2e (default: all three)
#        scripts/sanitize.sh valgrind
#          address    AddressSanitizer with its leak check, and UndefinedBehaviorSanitizer
#          thread     ThreadSanitizer
#          valgrind   memcheck: the unit tests, sonde doctor, and sonde trace for a second
# Exit:  0 if tests ran, all passed or were skipped, and nothing was reported. kernel and e2e want root.
# No report is suppressed but those in scripts/valgrind.supp, which says why.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
die() { echo "sanitize.sh: $*" >&2; exit 2; }
case ${1:-} in
    address | thread | valgrind) what=$1 ;;
    -h | --help) sed -n '3,/^set/{/^#/s/^# \?//p}' "$0"; exit 0 ;;
    *) die "${1:-}: give address, thread or valgrind (see --help)" ;;
esac
labels=${2:-unit,kernel,e2e}
[[ $labels =~ ^(unit|kernel|e2e)(,(unit|kernel|e2e))*$ ]] || die "$labels: give labels out of unit,kernel,e2e"
[[ $what != valgrind || $# -eq 1 ]] || die "valgrind takes no labels"
build=$root/build/sanitize-$what
# Sanitizers want certain addresses for themselves, which a kernel with 32 random bits may give to others. For the build
# too: it asks the tests for their names.
fixed=(setarch -R)

configure() { cmake -S "$root" -B "$build" -G Ninja -C "$root/scripts/cmake/sanitize/$what.cmake"; }
make_all() { # TARGETS
    local start=$EPOCHREALTIME
    "$root/scripts/setup.sh" test
    mkdir -p "$build"
    if ! (configure && "${fixed[@]}" ninja -C "$build" "$@") >"$build/log" 2>&1; then
        grep -aA 30 -m 3 -E '^FAILED|error:|CMake Error' "$build/log" >&2 || tail -n 30 "$build/log" >&2
        die "the build failed, see above ($build/log has all of it)"
    fi
    awk -v from="$start" -v to="$EPOCHREALTIME" 'BEGIN { printf "build %8.1f s\n", to - from }'
}

# Tests also start programs whose exit status they do not see, some as another user: each reports into a file here.
reports=$(mktemp -d "${TMPDIR:-/tmp}/sonde-reports.XXXXXX")
trap 'rm -rf "$reports"' EXIT
chmod 1777 "$reports"

run_tests() {
    local common="exitcode=99:halt_on_error=1:log_path=$reports/report"

    export ASAN_OPTIONS=$common:detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1
    export UBSAN_OPTIONS=$common:print_stacktrace=1 TSAN_OPTIONS=$common:second_deadlock_stack=1
    export SONDE_TEST_SLOW=1 # work takes longer than the machine's speed says
    # What a kernel's fallback hooks and verifier do is the same in every build.
    "${fixed[@]}" ctest --test-dir "$build" --output-on-failure --no-tests=error -L "^(${labels//,/|})\$" \
        --exclude-regex '^(VerifierCost|OffCpuRaw)|/[A-Za-z]*(Raw|RawTracepoints|NoFentry)( |$)'
}

# memcheck 3.19 passes all commands of bpf(2) on. Those for statistics (32) and for binding maps (35) it does not know:
# it warns, and does not look at what they are given.
run_valgrind() {
    local failed=0 memcheck=(valgrind --error-exitcode=99 --leak-check=full --log-file="$reports/memcheck-%p"
        "--errors-for-leak-kinds=definite,indirect,possible" --suppressions="$root/scripts/valgrind.supp")

    # It computes long double, which the first two compare with, in 64 bits; the third, which prints thousands of tables,
    # would take minutes; the last two need pidfd_open, which it does not know. The other sanitizers run them all.
    local left_out=(HistogramIndex.* ExportJson.SecondsGiveTheNanosecondsBack ExportText.FitsIntoTheWidth
        TargetPid.FiltersAProcessThatExists TargetPid.ItsDescriptorTellsWhenTheProcessEnds)
    "${memcheck[@]}" "$build/sonde_unit_tests" --gtest_brief=1 \
        --gtest_filter="-$(IFS=:; echo "${left_out[*]}")" || failed=1
    [[ $(id -u) -eq 0 ]] || { echo "not root: doctor and trace were not run"; return "$failed"; }
    "${memcheck[@]}" "$build/sonde" doctor >/dev/null || { echo "sonde doctor: exit status $?"; failed=1; }
    "${memcheck[@]}" "$build/sonde" trace -d 1 >/dev/null || { echo "sonde trace: exit status $?"; failed=1; }
    # Children have no exit status here. What is without errors is no report.
    grep -LE 'ERROR SUMMARY: [1-9]' "$reports"/* | xargs -r rm
    return "$failed"
}

status=0
if [[ $what == valgrind ]]; then
    make_all sonde sonde_unit_tests
    run_valgrind || status=1
else
    make_all all
    run_tests || status=1
fi
found=$(find "$reports" -type f -size +0 | wc -l)
[[ $found -eq 0 ]] || { find "$reports" -type f -size +0 -exec head -n 60 {} +; status=1; }
[[ $status -eq 0 ]] && verdict=passed || verdict=FAILED
echo "sanitize.sh $what: $verdict, $found reports"
exit "$status"
