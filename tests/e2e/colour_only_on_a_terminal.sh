#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root
need script

unset NO_COLOR
export TERM=xterm-256color sonde
colours() { grep -qP '\x1b\[\d*m' "$out"; }
on_terminal() { # ARGS... ENVIRONMENT in front
    expect 0 script -qec "$1 \"\$sonde\" $2 2>/dev/null" /dev/null
    [[ -s $out ]] || fail "no output: $*"
}
for command in 'trace -d 200ms --probes sched' doctor; do
    on_terminal '' "$command"
    colours || fail "no colour on a terminal: $command"
    on_terminal NO_COLOR=1 "$command"
    ! colours || fail "colour in spite of NO_COLOR: $command"
    on_terminal TERM=dumb "$command"
    ! colours || fail "colour on a dumb terminal: $command"
    on_terminal '' "$command --color never"
    ! colours || fail "colour in spite of --color never: $command"

    # shellcheck disable=SC2086 # words
    expect 0 "$sonde" $command
    ! grep -q $'\e' "$out" "$err" || fail "an escape in a file: $command"
    # shellcheck disable=SC2086
    expect 0 "$sonde" $command --color always
    colours || fail "no colour in spite of --color always: $command"
done

# Machine output never has any.
on_terminal '' 'trace -d 200ms -o json'
! colours || fail "colour in JSON"
