#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"

usage_error() { # REGEX ARGS...
    expect 2 "$sonde" "${@:2}"
    complains "$1"
}
usage_error 'frobnicate' frobnicate
usage_error '\-\-frobnicate.*--help' trace --frobnicate
usage_error '\-\-frobnicate.*--help' doctor --frobnicate
usage_error 'nothing' trace --probes sched,nothing
usage_error 'xml' trace -o xml
usage_error 'often' trace --color often
usage_error 'soon' trace -d soon
usage_error "'0'" trace -d 0
usage_error "'-1'" trace --interval -1
usage_error 'stray' trace -d 1 stray
usage_error 'abc' trace -p abc
usage_error '\-p 0' trace -p 0
usage_error 'comm' trace -p 1 --comm init
usage_error '15 ' trace --comm sixteen-bytes-xx
usage_error 'names nothing' trace --comm ''
usage_error 'names nothing' trace --cgroup ''
usage_error 'no command' trace --
usage_error 'command' trace -p 1 -- true

# Escape sequences from an argument do not reach the terminal.
usage_error '31m' trace $'--\e[31mred'
! grep -q $'\e' "$err" || fail "an escape byte on stderr"

# No command at all: the help, on stderr.
expect 2 "$sonde"
grep -q '^Usage: sonde COMMAND' "$err" || fail "no help"
expect 0 "$sonde" trace --help
grep -q -- '--cgroup' "$out" || fail "no help on stdout"
