#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root
need promtool

expect 0 "$sonde" trace -d 1 -o prom
[[ -s $out ]] || fail "no output"
promtool check metrics <"$out" || fail "promtool does not accept it"
