// SPDX-License-Identifier: Apache-2.0
//
// Whatever names hold, a terminal gets no control character but the ends of lines, and no line too wide for it.
#include "userspace/export/text.h"

#include <algorithm>
#include <sstream>

#include "tests/fuzz/hostile_snapshot.h"
#include "tests/fuzz/require.h"
#include "userspace/export/utf8.h"

using namespace sonde;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const Snapshot snapshot = fuzz::any_snapshot(data, size);
    for (const bool utf8 : {false, true}) {
        TextStyle style;
        style.width = size == 0 ? 0 : 80 + data[size - 1] % 100;
        style.utf8 = utf8;
        std::istringstream lines(to_text(snapshot, style));
        for (std::string line; std::getline(lines, line);) {
            require(std::ranges::none_of(line, [](char c) { return (c >= 0 && c < 0x20) || c == 0x7F; }), "no control");
            require(to_valid_utf8(line) == line, "a line is UTF-8");
            require(utf8 || std::ranges::all_of(line, [](char c) { return c >= 0; }), "a line is ASCII");
            require(style.width == 0 || display_width(line) <= static_cast<size_t>(style.width), "a line fits");
        }
    }
    return 0;
}
