// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/base/unique_fd.h"

namespace sonde {

// Which file it is, and whether it is still the same: an upgrade in place keeps the inode, but not the time.
struct FileIdentity {
    uint64_t device = 0;
    uint64_t inode = 0;
    uint64_t size = 0;
    int64_t mtime_ns = 0;
    auto operator<=>(const FileIdentity&) const = default;
};

// A file of a process that is not trusted. It is read, never mapped: a file that is cut while it is mapped kills the
// reader. What is asked of it is bounded, whatever its size claims.
class TargetFile {
  public:
    static constexpr uint64_t kMaxRead = uint64_t{160} << 20;

    // When the file at a path, or anything about it, was changed last, in ns since 1970; 0 if it is not there. Unlike
    // the time in its identity nobody sets it back; but a link to it that is made or taken away changes it too.
    static int64_t changed_ns(const std::string& path);
    // Of the file at a path, as it is now; without opening it.
    static Result<FileIdentity> identity_of(const std::string& path);

    // A regular file; others are an error, also one that would wait for somebody (FIFO, device).
    static Result<TargetFile> open(const std::string& path);

    [[nodiscard]] const FileIdentity& identity() const { return identity_; }
    [[nodiscard]] int fd() const { return fd_.get(); }
    // All of these bytes, or an error: EFBIG beyond kMaxRead, EINVAL where the file ends before.
    [[nodiscard]] Result<std::vector<char>> read(uint64_t offset, uint64_t size) const;

  private:
    TargetFile(UniqueFd fd, const FileIdentity& identity) : fd_(std::move(fd)), identity_(identity) {}

    UniqueFd fd_;
    FileIdentity identity_;
};

}  // namespace sonde
