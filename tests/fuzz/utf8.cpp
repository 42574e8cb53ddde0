// SPDX-License-Identifier: Apache-2.0
//
// Names, as processes may give them to themselves: nothing reaches a terminal that it would obey.
#include "userspace/export/utf8.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "tests/fuzz/require.h"

using namespace sonde;
using fuzz::require;

namespace {

bool is_control(char c)
{
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const size_t columns = 1 + data[0] % 40;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    const std::string valid = to_valid_utf8(bytes);
    require(to_valid_utf8(valid) == valid, "valid text stays as it is");
    // Written by others, it throws at what is not UTF-8.
    require(nlohmann::json::parse(nlohmann::json(valid).dump()) == nlohmann::json(valid), "JSON takes it");
    const std::string shown = printable(bytes);
    require(std::ranges::none_of(shown, is_control), "no control character is printed");
    require(to_valid_utf8(shown) == shown && shown.find("\xC2\x9B") == std::string::npos, "nor an 8-bit CSI");
    const std::string ascii = printable_ascii(bytes);
    require(std::ranges::none_of(ascii, [](char c) { return is_control(c) || c < 0; }), "ASCII is ASCII");
    const std::string cut = truncate(valid, columns, ">");
    require(display_width(cut) <= columns && to_valid_utf8(cut) == cut, "cut text fits and is valid");
    require(valid.starts_with(first_columns(valid, columns)), "the front is the front");
    return 0;
}
