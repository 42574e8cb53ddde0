// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/rooted_fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <charconv>
#include <climits>
#include <memory>

#include "userspace/base/unique_fd.h"

namespace sonde {

RootedFs::RootedFs(std::string root) : root_(std::move(root))
{
    while (!root_.empty() && root_.back() == '/') {
        root_.pop_back();
    }
}

std::string RootedFs::resolve(std::string_view path) const
{
    return root_ + std::string(path);
}

Result<std::string> RootedFs::read(std::string_view path) const
{
    const std::string full = resolve(path);
    UniqueFd fd(::open(full.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        return Error::from_errno(errno, "open " + full);
    }
    std::string text;
    std::array<char, 16384> buffer;
    while (text.size() < kMaxBytes) {
        const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return Error::from_errno(errno, "read " + full);
        }
        if (n == 0) {
            break;
        }
        text.append(buffer.data(), static_cast<size_t>(n));
    }
    return text;
}

Result<std::string> RootedFs::read_line(std::string_view path) const
{
    Result<std::string> text = read(path);
    if (text) {
        text->erase(std::min(text->find('\n'), text->size()));
    }
    return text;
}

Result<unsigned long long> RootedFs::read_number(std::string_view path) const
{
    Result<std::string> line = read_line(path);
    if (!line) {
        return line.error();
    }
    unsigned long long value = 0;
    const auto [end, error] = std::from_chars(line->data(), line->data() + line->size(), value);
    if (error != std::errc() || end != line->data() + line->size()) {
        return Error{EINVAL, "read " + resolve(path) + ": not a number: '" + *line + "'"};
    }
    return value;
}

Result<std::vector<std::string>> RootedFs::list(std::string_view path) const
{
    const std::string full = resolve(path);
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(full.c_str()), ::closedir);
    if (!dir) {
        return Error::from_errno(errno, "list " + full);
    }
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(dir.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") {
            names.emplace_back(name);
        }
    }
    return names;
}

Result<std::string> RootedFs::read_link(std::string_view path) const
{
    const std::string full = resolve(path);
    std::array<char, PATH_MAX> buffer;
    const ssize_t n = ::readlink(full.c_str(), buffer.data(), buffer.size());
    if (n < 0) {
        return Error::from_errno(errno, "readlink " + full);
    }
    return std::string(buffer.data(), static_cast<size_t>(n));
}

Result<uint64_t> RootedFs::inode(std::string_view path) const
{
    const std::string full = resolve(path);
    struct stat info {};
    if (::stat(full.c_str(), &info) != 0) {
        return Error::from_errno(errno, "stat " + full);
    }
    return uint64_t{info.st_ino};
}

bool RootedFs::exists(std::string_view path) const
{
    return ::access(resolve(path).c_str(), F_OK) == 0;
}

}  // namespace sonde
