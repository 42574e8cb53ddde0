#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"

refused() { # REGEX FILE
    expect 1 "$sonde" symbols "$2"
    complains "$1"
}
refused 'No such file' "$tmp/none"
refused 'not a regular file' "$tmp"
refused 'not a regular file' /dev/zero
mkfifo "$tmp/fifo"
refused 'not a regular file' "$tmp/fifo"
: >"$tmp/empty"
refused 'not an ELF file' "$tmp/empty"
refused 'not an ELF file' "$0"
head -c 40 "$sonde" >"$tmp/short"
refused 'ends within its header' "$tmp/short"
refused 'no process 4194304' 4194304
expect 2 "$sonde" symbols
complains 'BINARY'
expect 2 "$sonde" symbols "$sonde" -o xml
complains 'xml'

# A program that says it is a terabyte; tables that end beyond the file; an entry size of zero.
cp "$sonde" "$tmp/large"
truncate -s 1T "$tmp/large"
expect 0 "$sonde" symbols "$tmp/large" main
put() { printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
cp "$sonde" "$tmp/beyond"
put "$tmp/beyond" 32 '\0\0\0\0\0\0\0\x10' # e_phoff
refused 'read program headers: the file ends before' "$tmp/beyond"
cp "$sonde" "$tmp/sizes"
at=$(readelf -hW "$sonde" | awk '/Start of section headers/ { print $5 }')
count=$(readelf -hW "$sonde" | awk '/Number of section headers/ { print $5 }')
for ((i = 0; i < count; ++i)); do put "$tmp/sizes" $((at + i * 64 + 56)) '\0\0\0\0\0\0\0\0'; done # sh_entsize
expect 0 "$sonde" symbols "$tmp/sizes" main

# Names that would speak to the terminal.
read -r strings size < <(readelf -SW "$sonde" | sed -n 's/.* \.strtab *STRTAB *[0-9a-f]* \([0-9a-f]*\) \([0-9a-f]*\).*/\1 \2/p')
name_at=$(tail -c +$((16#$strings + 1)) "$sonde" | head -c $((16#$size)) | LC_ALL=C grep -abom 1 '_ZN5sonde3cli3run' | head -n 1 | cut -d: -f1)
cp "$sonde" "$tmp/escapes"
put "$tmp/escapes" $((16#$strings + name_at)) '\x1b[31m'
expect 0 "$sonde" symbols "$tmp/escapes"
! grep -q $'\e' "$out" || fail "an escape byte on stdout"
grep -qF '\x1b[31m' "$out" || fail "the name is not shown"

# The reader has no privileges left: as root it may read what nobody else may, and still says what it found.
need_root
cp "$sonde" "$tmp/private"
chmod 0700 "$tmp/private" && chmod 0700 "$tmp"
expect 0 "$sonde" symbols "$tmp/private" main
