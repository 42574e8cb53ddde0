// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/fuzz/require.h"

namespace sonde::fuzz {

// A file in memory that holds the input.
class InputFile {
  public:
    void set(const uint8_t* data, size_t size) const
    {
        require(::ftruncate(fd_, 0) == 0 && ::pwrite(fd_, data, size, 0) == static_cast<ssize_t>(size), "a file");
    }
    [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

  private:
    int fd_ = ::memfd_create("fuzz-input", MFD_CLOEXEC);
};

// A temporary tree whose files are all links to one that holds the input: written once, read by many.
class InputTree {
  public:
    explicit InputTree(const std::vector<std::string>& paths)
    {
        root_ = std::filesystem::temp_directory_path() / "sonde-fuzz-XXXXXX";
        require(::mkdtemp(root_.data()) != nullptr, "a temporary folder");
        for (const std::string& path : paths) {
            std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
            std::filesystem::create_symlink(file_.path(), root_ + path);
        }
    }
    ~InputTree() { std::filesystem::remove_all(root_); }
    InputTree(const InputTree&) = delete;
    InputTree& operator=(const InputTree&) = delete;

    void set(const uint8_t* data, size_t size) const { file_.set(data, size); }
    [[nodiscard]] const std::string& root() const { return root_; }

  private:
    InputFile file_;
    std::string root_;
};

}  // namespace sonde::fuzz
