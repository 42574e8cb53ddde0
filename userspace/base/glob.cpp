// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/glob.h"

#include <cctype>

namespace sonde {

bool glob_matches(std::string_view pattern, std::string_view text)
{
    // Only the last star can have taken too little: going back to it is enough, so the time is the product of the
    // lengths at worst.
    size_t p = 0, t = 0;
    size_t star = std::string_view::npos, taken = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            taken = t;
        } else if (p < pattern.size() && pattern[p] == text[t]) {
            ++p;
            ++t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++taken;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') {
        ++p;
    }
    return p == pattern.size();
}

std::string_view glob_word(std::string_view pattern)
{
    std::string_view longest;
    for (size_t begin = 0; begin < pattern.size();) {
        size_t end = begin;
        while (end < pattern.size() &&
               (std::isalnum(static_cast<unsigned char>(pattern[end])) || pattern[end] == '_')) {
            ++end;
        }
        if (end - begin > longest.size()) {
            longest = pattern.substr(begin, end - begin);
        }
        begin = end + 1;
    }
    return longest;
}

}  // namespace sonde
