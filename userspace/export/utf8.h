// SPDX-License-Identifier: Apache-2.0
//
// Bytes from outside (a process may call itself anything) -> text that an output format or a terminal can
// take. Pure functions; no locale is read.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sonde {

// The same text where it is valid UTF-8; every byte that is not part of a valid sequence becomes U+FFFD.
// Not valid: stray and missing continuation bytes, overlong forms, surrogates, more than U+10FFFF.
[[nodiscard]] std::string to_valid_utf8(std::string_view bytes);

// For a terminal: valid UTF-8 in which nothing moves the cursor, starts an escape sequence or reorders the
// line. Control characters (C0 with ESC and newline, DEL, C1) become \x1b, \x0a, \x7f, \x9b ...; invisible
// and bidirectional format characters become \u202e ... . A backslash stays one backslash, so the result is
// for reading, not for parsing back.
[[nodiscard]] std::string printable(std::string_view bytes);

// As printable(), for a terminal without UTF-8: other characters outside ASCII become \u00e9, \U0001f600; an
// invalid byte becomes '?'.
[[nodiscard]] std::string printable_ascii(std::string_view bytes);

// Columns that text takes on a terminal: its code points. East Asian wide and combining characters are
// counted as one column each. REQUIRES: valid UTF-8.
[[nodiscard]] size_t display_width(std::string_view utf8);

// The front of the text, as far as it fits into `columns`. REQUIRES: valid UTF-8.
[[nodiscard]] std::string first_columns(std::string_view utf8, size_t columns);

// Text cut to `columns`, the last of which is then taken by `mark` (one column wide); shorter text as it is.
// REQUIRES: valid UTF-8, columns >= 1.
[[nodiscard]] std::string truncate(std::string_view utf8, size_t columns, std::string_view mark);

}  // namespace sonde
