// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/symbols/elf_file.h"
#include "userspace/symbols/elf_words.h"

namespace sonde {

struct GoModule {
    std::string path;     // "github.com/ethereum/go-ethereum"
    std::string version;  // "v1.16.9"; "(devel)" when built from a checkout
};

// What `go version -m` prints: it stays in programs that are stripped, with -trimpath and without a build-id.
struct GoBuildInfo {
    static constexpr size_t kMaxSettings = 256;  // further ones are left out
    static constexpr size_t kMaxDependencies = 8192;

    std::string go_version;  // "go1.26.4"
    std::string path;        // of the main package, "github.com/ethereum/go-ethereum/cmd/geth"
    GoModule main;
    std::vector<GoModule> dependencies;           // as replaced
    std::map<std::string, std::string> settings;  // "-ldflags", "CGO_ENABLED", "vcs.revision", ...

    // None in this file: an empty optional. One that cannot be read: an error.
    // Format: debug/buildinfo of Go: with strings in place since 1.18, with pointers to strings before.
    static Result<std::optional<GoBuildInfo>> find(const ElfFile& elf, const ElfWords& words);
};

}  // namespace sonde
