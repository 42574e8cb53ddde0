// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/glob.h"

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

}  // namespace sonde
