#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_prometheus.py FILE: checks Prometheus text for what a scraper would trip over or miscount.

Every family has HELP and TYPE before its samples and is in one piece; no sample twice; label values decode; buckets
ascend, end with +Inf and agree with _count. Exit status 1, and one line per failure, if not.
"""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(r"(%s)(?:\{(%s(?:,%s)*)?,?\})? (\S+)$" % (NAME, LABEL, LABEL))


def failures(text):
    kinds, helped, ended, samples, current = {}, set(), set(), {}, None
    for number, line in enumerate(text.split("\n")[:-1], 1):
        comment = re.match(r"# (HELP|TYPE) (%s) (.+)$" % NAME, line)
        if comment:
            family = comment[2]
            (helped.add(family) if comment[1] == "HELP" else kinds.update({family: comment[3]}))
        else:
            sample = SAMPLE.match(line)
            if not sample:
                yield "line %d is no sample: %r" % (number, line)
                continue
            name, labels = sample[1], tuple(sorted(re.findall(LABEL, sample[2] or "")))
            family = next((f for f in (name, re.sub("_(bucket|sum|count)$", "", name)) if f in kinds), None)
            if family is None or family not in helped:
                yield "line %d: %s has no HELP or TYPE above it" % (number, name)
            if (name, labels) in samples:
                yield "line %d: %s%s appears twice" % (number, name, labels)
            samples[name, labels] = float(sample[3])
        if family != current:
            if family in ended:
                yield "line %d: family %s is not in one piece" % (number, family)
            ended.add(current)
            current = family
    buckets = {}
    for (name, labels), value in samples.items():
        if name.endswith("_bucket"):
            le = next(label for label in labels if label.startswith("le="))
            series = (name[:-7], tuple(label for label in labels if label != le))
            buckets.setdefault(series, []).append((float(le[4:-1]), value))
    for (name, labels), pairs in buckets.items():
        counts = [count for _, count in sorted(pairs)]
        if counts != sorted(counts) or max(pairs)[0] != float("inf"):
            yield "%s%s: buckets do not ascend to +Inf" % (name, labels)
        if counts[-1] != samples.get((name + "_count", labels)) or (name + "_sum", labels) not in samples:
            yield "%s%s: no _sum, or _count is not the +Inf bucket" % (name, labels)
    if not samples or not text.endswith("\n"):
        yield "no samples, or the last line is cut"


found = list(failures(open(sys.argv[1], encoding="utf-8", newline="").read()))
print("\n".join(found[:20]), end="\n" if found else "")
sys.exit(1 if found else 0)
