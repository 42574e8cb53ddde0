#!/usr/bin/env python3
"""schema_test.py SCHEMA FILE...

Validates documents of sonde, one per line, against their JSON Schema, and checks what a schema cannot say:
counts add up, quantiles are in order, bucket indexes ascend, no series appears twice. "-" is standard input.
Exit status 1, and one line per failure, if a document is wrong or a file holds none.
"""
import json
import sys

import jsonschema


def schema_failures(validator, document):
    for error in sorted(validator.iter_errors(document), key=lambda e: e.json_path):
        yield "%s: %s" % (error.json_path, error.message)


def histogram_failures(h):
    indexes = [index for index, _ in h["buckets"]]
    if h["count"] != h["zero_count"] + sum(n for _, n in h["buckets"]):
        yield "count %d is not zero_count + sum of buckets" % h["count"]
    if any(a >= b for a, b in zip(indexes, indexes[1:])):
        yield "bucket indexes do not ascend"
    if h["clamped"] > (h["buckets"][-1][1] if h["buckets"] else 0):
        yield "more values clamped than there are in the last bucket"
    values = [h["min"]] + list(h["quantiles"].values()) + [h["max"]]
    if h["count"] == 0:
        if h["sum"] != 0 or any(v is not None for v in values):
            yield "an empty histogram has a sum, extremes or quantiles"
        return
    if any(v is None for v in values):
        yield "min, max or a quantile is missing"
        return
    ordered = [h["min"]] + [h["quantiles"][q] for q in ("0.5", "0.9", "0.99", "0.999")] + [h["max"]]
    if ordered != sorted(ordered):
        yield "not min <= p50 <= p90 <= p99 <= p99.9 <= max: %s" % ordered
    slack = 1e-9 * h["count"] + 1e-12 * h["sum"]  # min and max of an interval are whole nanoseconds
    if not h["min"] * h["count"] - slack <= h["sum"] <= h["max"] * h["count"] + slack:
        yield "sum %r is not between count * min and count * max" % h["sum"]


def meaning_failures(document):
    for kind in ("histograms", "counters"):
        seen = set()
        for series in document[kind]:
            name = "%s %s" % (series["name"], json.dumps(series["labels"], sort_keys=True))
            if name in seen:
                yield "%s: appears twice" % name
            seen.add(name)
            if kind == "histograms":
                for failure in histogram_failures(series):
                    yield "%s: %s" % (name, failure)


def failures(validator, text):
    try:
        document = json.loads(text)
    except ValueError as error:
        return ["not JSON: %s" % error]
    return list(schema_failures(validator, document)) or list(meaning_failures(document))


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    bad = 0
    for path in sys.argv[2:]:
        with sys.stdin if path == "-" else open(path, encoding="utf-8") as f:
            lines = [line for line in f.read().split("\n") if line]
        if not lines:
            print("%s: no document" % path)
            bad += 1
        for number, line in enumerate(lines, 1):
            for failure in failures(validator, line):
                print("%s:%d: %s" % (path, number, failure))
                bad += 1
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
