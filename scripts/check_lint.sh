#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  static checks: an SPDX line in each source file, shellcheck, Python syntax, clang-tidy (see .clang-tidy).
# Usage: scripts/check_lint.sh [--no-tidy]
# Needs: scripts/setup.sh test. clang-tidy reads build/compile_commands.json, which this makes if it is missing.
set -euo pipefail

cd "$(dirname "$0")/.."
failed=0
fail() { echo "check_lint.sh: $*" >&2; failed=1; }

# vmlinux.h is generated.
while read -r file; do
    head -n 1 "$file" | grep -q 'SPDX-License-Identifier:' || fail "$file: no SPDX-License-Identifier in its first line"
done < <(git ls-files -- '*.h' '*.cpp' '*.c' '*.h.in' ':!vmlinux/*.h')

# Busybox's sh, in the virtual machine, is near enough to dash.
mapfile -t bash_files < <(git ls-files -- '*.sh' .ci/run)
shellcheck -x -P .:SCRIPTDIR -s bash -e SC2016,SC2119,SC2120 "${bash_files[@]}" || fail "shellcheck: see above"
mapfile -t sh_files < <(git grep -lE '^#!/bin/(busybox )?sh' -- ':!*.md' ':!*.sh' || true)
[[ ${#sh_files[@]} -eq 0 ]] || shellcheck -s dash "${sh_files[@]}" || fail "shellcheck: see above"

mapfile -t python_files < <(git ls-files -- '*.py')
[[ ${#python_files[@]} -eq 0 ]] ||
    python3 -c 'import ast, sys; [ast.parse(open(name).read(), name) for name in sys.argv[1:]]' "${python_files[@]}" ||
    fail "Python: see above"

if [[ ${1:-} != --no-tidy ]]; then
    [[ -e build/compile_commands.json ]] ||
        cmake -S . -B build -G Ninja -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null || fail "cmake: see above"
    # The skeletons are headers that the sources include.
    mapfile -t skeletons < <(ninja -C build -t targets all | sed -n 's/^\(sonde_bpf_[a-z0-9_]*_skeleton\): phony$/\1/p')
    ninja -C build "${skeletons[@]}" >/dev/null || fail "cannot build the skeletons"
    git ls-files -z -- 'userspace/*.cpp' 'tuning/*.cpp' |
        xargs -0 -r -n 1 -P "$(nproc)" clang-tidy -p build --quiet 2> >(grep -vE '^[0-9]+ warnings generated' >&2) ||
        fail "clang-tidy: see above"
fi
exit "$failed"
