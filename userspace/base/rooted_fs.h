// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/base/result.h"

namespace sonde {

// Reads small files of /proc and /sys below a root folder: "/" in the program, a folder that a test has
// built in the unit tests. Paths are given absolute, as on the real host. Not for large files: a read
// stops at kMaxBytes. Stateless but for the root; safe to use from several threads.
class RootedFs {
  public:
    static constexpr size_t kMaxBytes = 4U << 20;

    explicit RootedFs(std::string root = "/");

    // The whole file; for /proc and /sys files, whose size is not known beforehand, too.
    [[nodiscard]] Result<std::string> read(std::string_view path) const;
    // The first line, without its newline.
    [[nodiscard]] Result<std::string> read_line(std::string_view path) const;
    // The file's only content as an unsigned integer.
    [[nodiscard]] Result<unsigned long long> read_number(std::string_view path) const;
    // Names in a folder, without "." and "..", unsorted.
    [[nodiscard]] Result<std::vector<std::string>> list(std::string_view path) const;
    [[nodiscard]] Result<std::string> read_link(std::string_view path) const;
    // Which file of its file system it is; links are followed.
    [[nodiscard]] Result<uint64_t> inode(std::string_view path) const;
    [[nodiscard]] bool exists(std::string_view path) const;
    // The path as the operating system sees it.
    [[nodiscard]] std::string resolve(std::string_view path) const;

  private:
    std::string root_;
};

}  // namespace sonde
