// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/target_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sonde {

namespace {

FileIdentity to_identity(const struct stat& info)
{
    constexpr int64_t kNsPerSec = 1'000'000'000;
    return {info.st_dev, info.st_ino, static_cast<uint64_t>(info.st_size),
            info.st_mtim.tv_sec * kNsPerSec + info.st_mtim.tv_nsec};
}

}  // namespace

Result<FileIdentity> TargetFile::identity_of(const std::string& path)
{
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 ? Result<FileIdentity>(to_identity(info)) : Error::from_errno(errno, path);
}

int64_t TargetFile::changed_ns(const std::string& path)
{
    constexpr int64_t kNsPerSecond = 1'000'000'000;
    struct stat info {};
    return ::stat(path.c_str(), &info) != 0 ? 0 : info.st_ctim.tv_sec * kNsPerSecond + info.st_ctim.tv_nsec;
}

Result<TargetFile> TargetFile::open(const std::string& path)
{
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) {
        return Error{errno, std::strerror(errno)};
    }
    if (!S_ISREG(info.st_mode)) {
        return Error{EINVAL, "not a regular file"};
    }
    return TargetFile(std::move(fd), to_identity(info));
}

Result<std::vector<char>> TargetFile::read(uint64_t offset, uint64_t size) const
{
    if (size > kMaxRead) {
        return Error{EFBIG, "a part of " + std::to_string(size) + " bytes is too large"};
    }
    if (offset > identity_.size || size > identity_.size - offset) {
        return Error{EINVAL, "the file ends before what its headers promise"};
    }
    std::vector<char> bytes(size);
    for (uint64_t done = 0; done < size;) {
        const ssize_t n = ::pread(fd_.get(), bytes.data() + done, size - done, static_cast<off_t>(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return Error::from_errno(errno, "read");
        }
        if (n == 0) {
            return Error{EINVAL, "the file was cut while it was read"};
        }
        done += static_cast<uint64_t>(n);
    }
    return bytes;
}

}  // namespace sonde
