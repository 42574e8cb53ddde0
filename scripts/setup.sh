#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  installs the Debian packages that are missing, and nothing if none is.
# Usage: scripts/setup.sh [build|test|bench]
#          build   to compile and run sonde (the default)
#          test    also to check and test it: scripts/test.sh, .ci/run, scripts/vm.sh
#          bench   also the tracers that tests/bench compares with
set -euo pipefail

die() { echo "setup.sh: $*" >&2; exit 1; }

build=(cmake ninja-build g++ clang llvm bpftool libbpf-dev libelf-dev zlib1g-dev pkg-config libspdlog-dev
    nlohmann-json3-dev libcli11-dev libgtest-dev python3)
# promtool is not among them: Debian has it in the package of the Prometheus server only, which starts it.
test=(git clang-format clang-tidy shellcheck python3-jsonschema jq fio util-linux libcap2-bin iproute2
    qemu-system-x86 busybox-static cpio kmod libc-bin xz-utils zstd gzip lz4)
bench=(libbpf-tools bpftrace linux-perf)

case ${1:-build} in
    build) packages=("${build[@]}") ;;
    test) packages=("${build[@]}" "${test[@]}") ;;
    bench) packages=("${build[@]}" "${test[@]}" "${bench[@]}") ;;
    -h | --help) sed -n '3,/^set/{/^#/s/^# \?//p}' "$0"; exit 0 ;;
    *) die "unknown set '$1': use build, test or bench" ;;
esac
command -v dpkg-query >/dev/null ||
    die "this is no Debian or Ubuntu: install by your own means what these packages hold there: ${packages[*]}"

# shellcheck disable=SC2016 # dpkg-query expands it
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^installed //p') || true
missing=$(comm -23 <(printf '%s\n' "${packages[@]}" | sort) <(sort -u <<<"$installed") | tr '\n' ' ')
# scripts/vm.sh looks for its kernels in apt's lists; a fresh container image has none.
lists=(/var/lib/apt/lists/*_Packages*)
[[ -n $missing || (${1:-build} != build && ! -e ${lists[0]}) ]] || exit 0

apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || die "run this as root: apt-get install --no-install-recommends $missing"
    apt=(sudo "${apt[@]}")
fi
echo "setup.sh: installing ${missing:-no packages, only getting apt\'s lists}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A source that cannot be reached is no reason to stop, if the rest has the packages.
"${apt[@]}" update >"$log" 2>&1 || true
# shellcheck disable=SC2086 # words
[[ -z $missing ]] || "${apt[@]}" install -y --no-install-recommends $missing >>"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "cannot install: $missing(apt's last lines are above)"; }
