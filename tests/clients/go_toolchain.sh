#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  gets a Go toolchain and prints its folder (GOROOT).
# Usage: tests/clients/go_toolchain.sh VERSION          as 1.26.8; 1.19 is Debian's package golang-1.19
# Needs: the Go module proxy (since 1.21 toolchains are modules there); unpacked once below $SONDE_CACHE or
#        ~/.cache/sonde.
# Exit:  0, or 1 with one line on stderr.
set -euo pipefail

die() { echo "go_toolchain.sh: $*" >&2; exit 1; }
[[ ${1:-} =~ ^1\.[0-9]+(\.[0-9]+)?$ ]] || die "give a version, as 1.26.8 (see the head of this file)"
version=$1
if [[ $version == 1.19 ]]; then
    [[ -x /usr/lib/go-1.19/bin/go ]] ||
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends golang-1.19 >/dev/null 2>&1 ||
        die "the package golang-1.19 cannot be installed"
    echo /usr/lib/go-1.19
    exit 0
fi
case $(uname -m) in
    x86_64) platform=linux-amd64 ;;
    aarch64) platform=linux-arm64 ;;
    *) die "no toolchain for $(uname -m)" ;;
esac
name=v0.0.1-go$version.$platform
cache=${SONDE_CACHE:-$HOME/.cache/sonde}/go
[[ -x $cache/$name/bin/go ]] || {
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/unpack.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    curl -fsS --retry 3 -o "$work/zip" "https://proxy.golang.org/golang.org/toolchain/@v/$name.zip" ||
        die "Go $version cannot be had from proxy.golang.org"
    python3 -m zipfile -e "$work/zip" "$work/tree" || die "what came as Go $version cannot be unpacked"
    chmod -R +x "$work/tree/golang.org/toolchain@$name/bin" "$work/tree/golang.org/toolchain@$name/pkg/tool"
    mv -T "$work/tree/golang.org/toolchain@$name" "$cache/$name" 2>/dev/null || [[ -x $cache/$name/bin/go ]] ||
        die "Go $version cannot be put into $cache"
}
echo "$cache/$name"
