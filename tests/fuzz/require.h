// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>

namespace sonde::fuzz {

// A claim of a harness. One that does not hold ends it, so that libFuzzer keeps the input.
inline void require(bool holds, const char* claim)
{
    if (!holds) {
        std::fprintf(stderr, "not true: %s\n", claim);
        std::abort();
    }
}

}  // namespace sonde::fuzz
