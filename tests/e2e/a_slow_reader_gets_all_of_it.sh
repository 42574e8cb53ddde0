#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

# A pipe that does not block, smaller than the document, with a reader that begins late.
cat >"$tmp/slow.py" <<'PY'
import fcntl, os, subprocess, sys, time
reader, writer = os.pipe()
os.set_blocking(writer, False)
fcntl.fcntl(writer, 1031, 4096)  # F_SETPIPE_SZ
sonde = subprocess.Popen([sys.argv[1], "trace", "-d", "500ms", "-o", "json"], stdout=writer)
os.close(writer)
time.sleep(1.5)
with os.fdopen(reader, "rb") as f:
    sys.stdout.buffer.write(f.read())
sys.exit(sonde.wait())
PY
expect 0 python3 "$tmp/slow.py" "$sonde"
valid_json
