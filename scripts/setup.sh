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
    nlohmann-json3-dev libcli11-dev libzydis-dev libiberty-dev libseccomp-dev libyaml-cpp-dev libgtest-dev python3)
# promtool is not among them: Debian has it in the package of the Prometheus server only, which starts it.
test=(git clang-format clang-tidy libclang-rt-dev valgrind shellcheck python3-jsonschema jq fio util-linux libcap2-bin
    curl iproute2 qemu-system-x86 busybox-static cpio kmod libc-bin xz-utils zstd gzip lz4)
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

# QEMU before 8.1 may run code that the guest's kernel has patched in the meantime (it translates a page without
# locking it): a guest with two CPUs dies of "Oops: int3" once tracepoints get switched. Debian 12 has 7.2, and 10.0
# among its backports.
qemu=
if [[ ${1:-build} != build ]]; then
    version=$(dpkg-query -W -f '${Version}' qemu-system-x86 2>/dev/null) || version=0
    dpkg --compare-versions "$version" ge 1:8.1 || qemu='qemu-system-x86'
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^installed //p') || true
missing=$(comm -23 <(printf '%s\n' "${packages[@]}" | sort) <(sort -u <<<"$installed") | grep -vx "$qemu" | tr '\n' ' ') || true
# scripts/vm.sh looks for its kernels in apt's lists; a fresh container image has none.
lists=(/var/lib/apt/lists/*_Packages*)
[[ -n $missing$qemu || (${1:-build} != build && ! -e ${lists[0]}) ]] || exit 0

as_root=(env DEBIAN_FRONTEND=noninteractive)
if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || die "run this as root: apt-get install --no-install-recommends $missing$qemu"
    as_root=(sudo "${as_root[@]}")
fi
log=$(mktemp)
sources=$(mktemp -d)
trap 'rm -rf "$log" "$sources"' EXIT
# A source that cannot be reached is no reason to stop, if the rest has the packages.
update() { "${as_root[@]}" apt-get -qq "$@" update >"$log" 2>&1 || true; }
install() { "${as_root[@]}" apt-get -qq install -y --no-install-recommends "$@" >>"$log" 2>&1; }

# Debian 12's own QEMU is too old: the one of its backports, through a source that is there for this command only.
install_qemu() {
    local from_backports=(-o "Dir::Etc::SourceParts=$sources" -t "$VERSION_CODENAME-backports")

    cp /etc/apt/sources.list.d/*.{list,sources} "$sources" 2>/dev/null || true
    echo "deb http://deb.debian.org/debian $VERSION_CODENAME-backports main" >"$sources/sonde.list"
    chmod 755 "$sources" # apt reads it as its own user
    update "${from_backports[@]}"
    install "${from_backports[@]}" "$qemu"
}

what=$missing$qemu
echo "setup.sh: ${what:+installing }${what:-getting the lists of packages}" >&2
update
# shellcheck disable=SC2086 # words
[[ -z $missing ]] || install $missing ||
    { tail -n 20 "$log" >&2; die "cannot install: $missing(apt's last lines are above)"; }
[[ -n $qemu ]] || exit 0
# shellcheck source=/dev/null
. /etc/os-release
if [[ ${VERSION_CODENAME:-} != bookworm ]] || ! install_qemu; then
    install "$qemu" || { tail -n 20 "$log" >&2; die "cannot install $qemu (apt's last lines are above)"; }
fi
version=$(dpkg-query -W -f '${Version}' "$qemu")
dpkg --compare-versions "$version" ge 1:8.1 ||
    echo "setup.sh: QEMU is $version: guests with two CPUs may die of 'Oops: int3' before 1:8.1 (tail of apt's log: $(tail -n 1 "$log"))" >&2
