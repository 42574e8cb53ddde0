// SPDX-License-Identifier: Apache-2.0
//
// Names of functions, as a hostile program has them, and patterns: the first line is the pattern.
#include "userspace/symbols/mangled_name.h"

#include <string_view>

#include "tests/fuzz/require.h"

using namespace sonde;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const size_t end = std::min(input.find('\n'), input.size());
    const std::string_view name = input.substr(std::min(end + 1, input.size()));
    const NamePattern pattern(input.substr(0, end));
    const FunctionName function(name);
    const auto& path = function.path();
    fuzz::require(!pattern.matches(function) || path.size() <= name.size(), "a path is made of the name");
    fuzz::require(name.empty() || !display_name(name).empty(), "a name is shown");
    fuzz::require(NamePattern("*").matches(FunctionName(name)), "all names fit a star");
    return 0;
}
