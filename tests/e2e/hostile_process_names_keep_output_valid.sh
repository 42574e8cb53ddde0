#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need_root

# Names of processes: not UTF-8, control bytes, quotes, a terminal escape, a cut UTF-8 character.
cat >"$tmp/names.py" <<'PY'
import ctypes, os, time
names = [b"bad\xff\xfeutf8", b"new\nline", b"esc\x1b[31mred", b"quo\"te\\", b"{brace=\"x\"}", b"cut-utf8-14-\xe2\x82", b"tab\tcr\r"]
for name in names:
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
        for _ in range(300):
            time.sleep(0.001)
        os._exit(0)
for _ in names:
    os.wait()
PY
expect 0 "$sonde" trace -o json -- python3 "$tmp/names.py"
valid_json
iconv -f UTF-8 -t UTF-8 "$out" >/dev/null || fail "the JSON is not UTF-8"
holds '[.histograms[] | select(.name == "sonde_sched_offcpu_seconds" and .labels.reason == "sleep" and .count >= 200)
    | .labels.process] | unique | length >= 7'
for part in utf8 line 31mred 'quo"te' brace cut-utf8-14 tab; do
    holds '[.histograms[].labels.process | select(. != null and contains($part))] | length > 0' --arg part "$part"
done

expect 0 "$sonde" trace -o prom -- python3 "$tmp/names.py"
"$(dirname "$0")/check_prometheus.py" "$out" || fail "wrong Prometheus text"
if command -v promtool >/dev/null; then
    promtool check metrics <"$out" || fail "promtool does not accept it"
fi

expect 0 "$sonde" trace --all -- python3 "$tmp/names.py"
iconv -f UTF-8 -t UTF-8 "$out" >/dev/null || fail "the text is not UTF-8"
[[ $(LC_ALL=C tr -d '\n' <"$out" | LC_ALL=C grep -c '[[:cntrl:]]') == 0 ]] || fail "control bytes in the text"
grep -q 31mred "$out" || fail "the name with an escape is missing"
grep -qE 'new.+line' "$out" || fail "a name was broken into two lines"

trace_in_background -d 300ms --comm $'e\e[31mred'
expect_end "$pid" 0
! grep -q $'\e' "$err" || fail "an escape byte on stderr"
