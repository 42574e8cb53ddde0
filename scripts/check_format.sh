#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  fails if a C++ file is not formatted as .clang-format says. --fix formats it.
#        Not bpf/: it is in the kernel's style with four spaces, which clang-format cannot express.
# Usage: scripts/check_format.sh [--fix]
set -euo pipefail

cd "$(dirname "$0")/.."
mode=(--dry-run --Werror)
[[ ${1:-} != --fix ]] || mode=(-i)
mapfile -t files < <(git ls-files -- '*.h' '*.cpp' ':!vmlinux' ':!bpf' ':!*.bpf.h')
log=$(mktemp)
trap 'rm -f "$log"' EXIT
[[ ${#files[@]} -gt 0 ]] || { echo "check_format.sh: no files to check" >&2; exit 1; }

if ! clang-format "${mode[@]}" "${files[@]}" 2>"$log"; then
    grep 'error:' "$log" | cut -d: -f1 | uniq -c | awk '{ print $2 ": " $1 " places" }' >&2
    echo "check_format.sh: not formatted, see above: scripts/check_format.sh --fix does it" >&2
    exit 1
fi
