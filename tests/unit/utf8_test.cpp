// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/utf8.h"

#include <gtest/gtest.h>

#include "tests/unit/export_sample.h"

namespace sonde {
namespace {

constexpr char kBad[] = "\xEF\xBF\xBD";

std::string bad(int times)
{
    std::string text;
    for (int i = 0; i < times; ++i) {
        text += kBad;
    }
    return text;
}

// UTF-8 of a code point, written down from the table in RFC 3629, section 3.
std::string encode(uint32_t c)
{
    const auto byte = [](uint32_t value) { return static_cast<char>(value); };
    if (c < 0x80) {
        return {byte(c)};
    }
    if (c < 0x800) {
        return {byte(0xC0 | c >> 6), byte(0x80 | (c & 63))};
    }
    if (c < 0x10000) {
        return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 63)), byte(0x80 | (c & 63))};
    }
    return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 63)), byte(0x80 | (c >> 6 & 63)), byte(0x80 | (c & 63))};
}

TEST(ToValidUtf8, KeepsEveryCodePointButSurrogates)
{
    for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
        const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        ASSERT_EQ(to_valid_utf8(encode(c)), surrogate ? bad(3) : encode(c)) << std::hex << c;
    }
    ASSERT_EQ(to_valid_utf8(encode(0x110000)), bad(4));
}

TEST(ToValidUtf8, ReplacesEachInvalidByte)
{
    EXPECT_EQ(to_valid_utf8("a\xffz"), std::string("a") + kBad + "z");
    EXPECT_EQ(to_valid_utf8("\x80"), bad(1));      // continuation without a start
    EXPECT_EQ(to_valid_utf8("\xe2\x82"), bad(2));  // cut in the middle
    EXPECT_EQ(to_valid_utf8("\xe2\x82z"), bad(2) + "z");
    EXPECT_EQ(to_valid_utf8("\xf0\x9f\x98\x80\xf0\x9f"), "\xf0\x9f\x98\x80" + bad(2));
    EXPECT_EQ(to_valid_utf8("\xc3\xc3\xa9"), bad(1) + "é");  // a start right behind a start
    EXPECT_EQ(to_valid_utf8(""), "");
}

TEST(ToValidUtf8, RejectsOverlongForms)
{
    EXPECT_EQ(to_valid_utf8("\xc0\x80"), bad(2));          // NUL
    EXPECT_EQ(to_valid_utf8("\xc1\xbf"), bad(2));          // DEL
    EXPECT_EQ(to_valid_utf8("\xe0\x9f\xbf"), bad(3));      // U+07FF
    EXPECT_EQ(to_valid_utf8("\xf0\x8f\xbf\xbf"), bad(4));  // U+FFFF
    EXPECT_EQ(to_valid_utf8("\xf8\x88\x80\x80\x80"), bad(5));
}

TEST(ToValidUtf8, EveryPairOfBytesBecomesStable)
{
    for (int a = 0; a < 256; ++a) {
        for (int b = 0; b < 256; ++b) {
            const std::string once = to_valid_utf8(std::string{static_cast<char>(a), static_cast<char>(b)});
            ASSERT_EQ(to_valid_utf8(once), once);
        }
    }
}

TEST(Printable, ShowsControlCharactersAsEscapes)
{
    EXPECT_EQ(printable("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m");
    EXPECT_EQ(printable("a\nb\tc\rd\x07\x7f"), "a\\x0ab\\x09c\\x0dd\\x07\\x7f");
    EXPECT_EQ(printable(std::string(1, '\0')), "\\x00");
    EXPECT_EQ(printable("\xc2\x9bm"), "\\x9bm");  // C1: CSI in one character
    EXPECT_EQ(printable("\x9bm"), bad(1) + "m");  // the same as a bare byte
    EXPECT_EQ(printable("a\xe2\x80\xaez\xef\xbb\xbf"), "a\\u202ez\\ufeff");
    EXPECT_EQ(printable("C:\\x"), "C:\\x");
    EXPECT_EQ(printable("n\xc5\x93ud \xe2\x9c\x93"), "nœud ✓");
}

TEST(Printable, LetsNoControlCharacterThrough)
{
    for (uint32_t c = 0; c <= 0x9F; ++c) {
        const bool control = c < 0x20 || c >= 0x7F;
        EXPECT_EQ(printable(encode(c)) != encode(c), control) << c;
    }
    EXPECT_EQ(printable(kHostile), "a\"b\\c\\x0ad\\x1b[31m\\x7f" + bad(6) + "\\u202e\\x9b{}=,");
}

TEST(PrintableAscii, HasOnlyAscii)
{
    EXPECT_EQ(printable_ascii("é\xf0\x9f\x98\x80\xff\x1b"), "\\u00e9\\U0001f600?\\x1b");
    EXPECT_EQ(printable_ascii("geth"), "geth");
}

TEST(DisplayWidth, CountsCodePoints)
{
    EXPECT_EQ(display_width(""), 0U);
    EXPECT_EQ(display_width("geth"), 4U);
    EXPECT_EQ(display_width("nœud ▁█"), 7U);
}

TEST(Truncate, CutsBetweenCodePoints)
{
    EXPECT_EQ(truncate("geth", 4, "…"), "geth");
    EXPECT_EQ(truncate("geths", 4, "…"), "get…");
    EXPECT_EQ(truncate("nœœœœ", 3, "~"), "nœ~");
    EXPECT_EQ(truncate("ab", 1, "…"), "…");
}

}  // namespace
}  // namespace sonde
