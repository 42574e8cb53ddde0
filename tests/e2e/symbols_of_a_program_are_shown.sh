#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need readelf
symbols_schema=$root/userspace/export/schema/symbols-1.schema.json
valid_symbols() {
    /usr/bin/python3 -c 'import json, sys, jsonschema
jsonschema.Draft202012Validator(json.load(open(sys.argv[1]))).validate(json.load(open(sys.argv[2])))' \
        "$symbols_schema" "$out" 2>"$tmp/invalid" || fail "not a valid document: $(tail -n 3 "$tmp/invalid")"
}

# readelf is the witness: each function that this program's table defines, at its address.
expect 0 "$sonde" symbols "$sonde" -o json
valid_symbols
jq -r '.functions[] | select(.source == "symtab") | "\(.address) \(.name)"' "$out" | sort >"$tmp/ours"
readelf -sW "$sonde" | awk '/^Symbol table/ { in_table = /\.symtab/ } in_table && $4 == "FUNC" && $7 != "UND" { print $2, $8 }' |
    while read -r address name; do echo "$((16#$address)) $name"; done | sort -u >"$tmp/theirs"
[[ $(wc -l <"$tmp/theirs") -gt 1000 ]] || fail "readelf sees too few functions"
diff "$tmp/ours" "$tmp/theirs" >"$tmp/diff" || fail "not what readelf sees: $(head -n 5 "$tmp/diff")"

# By its number a process's program, with where its functions could be probed; by its identifiers a C++ function.
sleep 60 &
started+=($!)
until_true 5 grep -q sleep "/proc/$!/comm"
expect 1 "$sonde" symbols $! no_such_function -o json
valid_symbols
holds '.functions == [] and .dynsym'
expect 0 "$sonde" symbols "$sonde" main --sites -o json
valid_symbols
holds '.functions | length == 1'
expect 0 "$sonde" symbols "$sonde" main --sites
grep -qE '^ +entry \+0x[0-9a-f]+.*[0-9]+ returns?: ' "$out" || fail "no sites of main"
expect 0 "$sonde" symbols "$sonde" 'sonde::cli::run_symbols'
grep -q 'sonde::cli::run_symbols(' "$out" || fail "no function found by its identifiers"
