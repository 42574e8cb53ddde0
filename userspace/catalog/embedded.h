// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace sonde {

struct EmbeddedFile {
    std::string_view name;
    std::string_view text;
};

// The files of clients/, as they were when this was built. The code is made by the build.
[[nodiscard]] std::span<const EmbeddedFile> embedded_clients();

}  // namespace sonde
