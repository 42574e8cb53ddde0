// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace sonde {

// Whether all of `text` fits the pattern: `*` is any run of characters, slashes and dots included; everything else is
// itself. Not fnmatch, to which the brackets of "Foo[...]" and the star of "(*T)" mean more.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);

}  // namespace sonde
