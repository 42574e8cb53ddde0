// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the exporters share: the snapshot that fixtures/export/sample.json describes, and the
// golden files beside it. golden.py there computes the expected numbers from the same description.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "userspace/metrics/snapshot.h"

namespace sonde {

[[nodiscard]] Snapshot sample_snapshot();

// Content of tests/fixtures/export/NAME; a missing file throws.
[[nodiscard]] std::string golden(const std::string& name);

// Whether one of the lines of the text is exactly that.
[[nodiscard]] bool has_line(const std::string& text, const std::string& line);

// A distribution of the given {value in ns, how often}.
[[nodiscard]] Histogram histogram_of(std::initializer_list<std::pair<uint64_t, uint64_t>> values);

// Bytes that break careless exporters: quotes, newline, escape sequences, invalid and overlong UTF-8.
inline const std::string kHostile("a\"b\\c\nd\x1b[31m\x7f\xff\xc0\x80\xed\xa0\x80\xe2\x80\xae\xc2\x9b{}=,");

}  // namespace sonde
