// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/utf8.h"

#include <array>
#include <cstdio>

namespace sonde {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr char32_t kReplacementCode = 0xFFFD;

struct CodePoint {
    char32_t value;
    size_t bytes;  // 0: the text does not start with a valid sequence
};

// The first code point. REQUIRES: text is not empty.
CodePoint decode(std::string_view text)
{
    constexpr CodePoint kInvalid{0, 0};
    constexpr std::array<char32_t, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};  // by length; less is overlong
    const auto lead = static_cast<unsigned char>(text.front());
    if (lead < 0x80) {
        return {lead, 1};
    }
    const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC0 || lead > 0xF7 || text.size() < length) {
        return kInvalid;
    }
    char32_t value = lead & (0xFFU >> (length + 1));
    for (size_t i = 1; i < length; ++i) {
        const auto next = static_cast<unsigned char>(text[i]);
        if ((next & 0xC0) != 0x80) {
            return kInvalid;
        }
        value = (value << 6) | (next & 0x3FU);
    }
    const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    if (value < kSmallest[length] || value > 0x10FFFF || surrogate) {
        return kInvalid;
    }
    return {value, length};
}

bool is_control(char32_t c)
{
    return c < 0x20 || (c >= 0x7F && c <= 0x9F);
}

// Zero-width characters, line separators, bidirectional marks, embeddings, overrides and isolates.
bool is_invisible_format(char32_t c)
{
    return c == 0xAD || c == 0x61C || (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xE0000 && c <= 0xE007F);
}

std::string escape(char32_t c)
{
    std::array<char, 16> text;
    const char* format = c <= 0x9F ? "\\x%02x" : c <= 0xFFFF ? "\\u%04x" : "\\U%08x";
    std::snprintf(text.data(), text.size(), format, static_cast<unsigned>(c));
    return text.data();
}

// Calls each(code point, its bytes) for the whole text; an invalid byte is passed as U+FFFD.
template <class F>
void for_each_code_point(std::string_view text, F each)
{
    while (!text.empty()) {
        const CodePoint c = decode(text);
        if (c.bytes == 0) {
            each(kReplacementCode, kReplacement);
            text.remove_prefix(1);
        } else {
            each(c.value, text.substr(0, c.bytes));
            text.remove_prefix(c.bytes);
        }
    }
}

}  // namespace

std::string to_valid_utf8(std::string_view bytes)
{
    std::string out;
    out.reserve(bytes.size());
    for_each_code_point(bytes, [&](char32_t, std::string_view encoded) { out += encoded; });
    return out;
}

std::string printable(std::string_view bytes)
{
    std::string out;
    for_each_code_point(bytes, [&](char32_t c, std::string_view encoded) {
        if (is_control(c) || is_invisible_format(c)) {
            out += escape(c);
        } else {
            out += encoded;
        }
    });
    return out;
}

std::string printable_ascii(std::string_view bytes)
{
    std::string out;
    for_each_code_point(bytes, [&](char32_t c, std::string_view encoded) {
        if (c == kReplacementCode) {
            out += '?';
        } else if (is_control(c) || c > 0x7F) {
            out += escape(c);
        } else {
            out += encoded;
        }
    });
    return out;
}

size_t display_width(std::string_view utf8)
{
    size_t columns = 0;
    for_each_code_point(utf8, [&](char32_t, std::string_view) { ++columns; });
    return columns;
}

std::string first_columns(std::string_view utf8, size_t columns)
{
    std::string out;
    size_t used = 0;
    for_each_code_point(utf8, [&](char32_t, std::string_view encoded) {
        if (used++ < columns) {
            out += encoded;
        }
    });
    return out;
}

std::string truncate(std::string_view utf8, size_t columns, std::string_view mark)
{
    return display_width(utf8) <= columns ? std::string(utf8) : first_columns(utf8, columns - 1).append(mark);
}

}  // namespace sonde
