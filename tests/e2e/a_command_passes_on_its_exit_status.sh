#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

expect 0 "$sonde" trace -o json -- true
valid_json
expect 7 "$sonde" trace -o json -- sh -c 'exit 7'
valid_json
expect $((128 + 15)) "$sonde" trace -o json -- sh -c 'kill -TERM $$'
valid_json
expect 127 "$sonde" trace -o json -- /nonexistent/program
complains '/nonexistent/program: No such file or directory'

# Options behind -- belong to the command.
expect 0 "$sonde" trace -o json -- sh -c '[ "$1" = --probes ]' sh --probes
valid_json
