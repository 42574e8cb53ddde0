#!/usr/bin/env bash
# What:  downloads and unpacks Debian's newest cloud kernel of one series, and prints the folder it is in
#        (the folder holds `vmlinux`, unpacked from the bzImage, `release` with the kernel's version, and
#        `lib/modules/<release>` with a fresh modules.dep).
# Why:   tests need real distribution kernels; apt checks the package's signature, nothing gets installed.
#        A series is fetched once: delete its folder to get a newer build.
# Usage: scripts/vm/fetch_kernel.sh 6.1|6.12
set -euo pipefail

# FILE OFFSET SIZE: the little-endian number there
number() { od -An -v -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '; }
die() { echo "fetch_kernel.sh: $*" >&2; exit 1; }

series=${1:-}
[[ $series =~ ^[0-9]+\.[0-9]+$ ]] || die "'$series' is not a kernel series: use 6.1 or 6.12"
kernels=${SONDE_CACHE:-$HOME/.cache/sonde}/kernels
dir=$kernels/$series
mkdir -p "$kernels"

# One writer per series; later callers wait here and then find the finished folder.
exec 9>"$kernels/$series.lock"
flock 9
if [[ -e $dir/release ]]; then
    echo "$dir"
    exit 0
fi

for tool in apt-get dpkg-deb depmod xz; do
    command -v "$tool" >/dev/null || die "cannot fetch kernel $series: no '$tool' here (Debian packages: apt dpkg kmod xz-utils)"
done

# Debian puts the whole version in the package's name, so the newest build is the last name in version order.
package=$(apt-cache --names-only search "^linux-image-${series//./\\.}\.[0-9].*-cloud-amd64\$" | cut -d' ' -f1 | sort -V | tail -n1)
[[ -n $package ]] || die "apt knows no linux-image-$series.*-cloud-amd64: run 'apt-get update' (sources: bookworm and bookworm-security)"

tmp=$(mktemp -d "$kernels/$series.tmp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp" # apt downloads as its own user, and warns where that one cannot look
echo "fetch_kernel.sh: downloading $package" >&2
(cd "$tmp" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2) ||
    die "cannot download $package: see apt's message above; after 'apt-get update' try again"
dpkg-deb -x "$tmp"/*.deb "$tmp/root" || die "cannot unpack $package in $tmp: is the disk full?"

release=${package#linux-image-}
mkdir "$tmp/out"

# A bzImage carries the compressed ELF vmlinux as its payload. The x86 boot protocol's header says where: the
# protected-mode part starts after setup_sects+1 sectors, and the payload payload_offset bytes into that.
image=$tmp/root/boot/vmlinuz-$release
start=$((($(number "$image" $((0x1f1)) 1) + 1) * 512 + $(number "$image" $((0x248)) 4)))
length=$(number "$image" $((0x24c)) 4)
tail -c +$((start + 1)) "$image" >"$tmp/payload"
truncate -s "$length" "$tmp/payload"
case $(od -An -t x1 -N 4 "$tmp/payload" | tr -d ' ') in
    fd377a58) unpack=xz ;;
    28b52ffd) unpack=zstd ;;
    1f8b*) unpack=gzip ;;
    02214c18) unpack=lz4 ;;
    *) die "$package holds a kernel compressed in a way this script does not know" ;;
esac
# The kernel's build appends the unpacked size, which makes the tools complain about trailing garbage after
# they have unpacked everything: so what counts is that an ELF file came out.
"$unpack" -dc <"$tmp/payload" >"$tmp/out/vmlinux" 2>"$tmp/log" || true
[[ $(head -c4 "$tmp/out/vmlinux") == $'\x7fELF' ]] ||
    die "cannot unpack the kernel of $package with $unpack: $(head -n1 "$tmp/log")"

mv "$tmp/root/lib" "$tmp/out/lib"
# The guest's modprobe is busybox's: plain .ko files load on every kernel and cost it no decompression.
find "$tmp/out/lib" -name '*.ko.xz' -exec xz -d -T1 {} +
depmod -b "$tmp/out" "$release"
echo "$release" >"$tmp/out/release"
rm -rf "$dir"
mv "$tmp/out" "$dir"
echo "$dir"
