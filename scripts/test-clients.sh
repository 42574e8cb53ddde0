#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  starts real clients under load, traces them with `sonde trace --client`, and compares with what they and their loads
#        say. Installs the Debian packages that are missing; other programs are fetched, and built, once, into
#        ~/.cache/sonde/clients (or $SONDE_CACHE).
# Usage: scripts/test-clients.sh [CLIENT...]       of geth, mev-boost, anvil, postgresql, redis (default: all)
#        scripts/test-clients.sh --fetch           only gets what is to be tested: always exits with 0
#        $SONDE: the program to test (default: build/sonde). Needs root.
# Prints: per client a table: what was compared, the figures of both, how far apart, what is allowed; then a summary.
# Exit:  0 if all passed, 1 if one did not, 2 for wrong usage. One that cannot be had here is named with the reason, and is a
#        failure only if it was asked for by name.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
die() { echo "test-clients.sh: $*" >&2; exit 2; }

declare -A packages=(
    [geth]='gcc libc6-dev curl'
    [mev-boost]='gcc libc6-dev curl'
    [anvil]='npm'
    [postgresql]='postgresql postgresql-client'
    [redis]='redis-server redis-tools'
)
all=(geth mev-boost anvil postgresql redis)

[[ ${1:-} != -h && ${1:-} != --help ]] || { sed -n '3,/^set/{/^#/s/^# \?//p}' "$0"; exit 0; }
fetch=
[[ ${1:-} != --fetch ]] || { fetch=1; shift; }
for client in "$@"; do
    [[ $client =~ ^[a-z-]+$ && -v packages[$client] ]] || die "no test of '$client': there are ${all[*]}"
done
[[ $(id -u) -eq 0 ]] || die "needs root"
clients=("${@:-${all[@]}}")

# A copy: that one may be built anew meanwhile.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
install -m 755 "${SONDE:-$root/build/sonde}" "$work/sonde" 2>/dev/null || die "build sonde first, or say where it is: SONDE=PATH"

# Installs what is missing of some packages. npm may be there from elsewhere: so may others.
install_missing() {
    local -A program_of=([gcc]=gcc [curl]=curl [npm]=npm [postgresql-client]=pgbench [redis-server]=redis-server
        [redis-tools]=redis-benchmark)
    local package missing=()

    for package in "$@"; do
        command -v "${program_of[$package]:-/nonexistent}" >/dev/null ||
            [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    echo "test-clients.sh: installing ${missing[*]}" >&2
    apt-get -qq update >"$work/apt.log" 2>&1 || true # a source that cannot be reached is no reason to stop
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >>"$work/apt.log" 2>&1 ||
        echo "test-clients.sh: continuing without ${missing[*]}: $(tail -n 1 "$work/apt.log")" >&2
}

if [[ -n $fetch ]]; then
    for client in "${clients[@]}"; do
        # shellcheck disable=SC2086 # words
        install_missing ${packages[$client]}
    done
    "$root/tests/clients/geth.py" "$work/sonde" --fetch --only plain --only release || true
    "$root/tests/clients/mev_boost.py" "$work/sonde" --fetch || true
    "$root/tests/clients/anvil.py" "$work/sonde" --fetch || true
    exit 0
fi

status=0
summary=()
for client in "${clients[@]}"; do
    # shellcheck disable=SC2086 # words
    install_missing ${packages[$client]}
    printf '\n%s\n' "=== $client"
    start=$SECONDS
    result=0
    "$root/tests/clients/${client//-/_}.py" "$work/sonde" | tee "$work/said" || result=$?
    case $result in
        0) verdict=passed ;;
        77)
            verdict="NOT TESTED: $(tail -n 1 "$work/said" | sed 's/^.*NOT TESTED: //')"
            [[ $# -eq 0 ]] || status=1
            ;;
        *) verdict=FAILED status=1 ;;
    esac
    summary+=("$(printf '%-11s %3d s  %s' "$client" $((SECONDS - start)) "$verdict")")
    ! grep -q 'NOT TESTED' "$work/said" || [[ $result -eq 77 ]] ||
        summary+=("$(sed -n 's/^\(.*\): NOT TESTED: \([^:]*\):.*/                   not tested: \1: \2/p' "$work/said")")
done
printf '\n%s\n' "=== summary"
printf '%s\n' "${summary[@]}"
exit "$status"
