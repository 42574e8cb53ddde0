// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "userspace/base/result.h"

namespace sonde {

// The bytes of the BTF in a file that somebody gives: the file itself, or the section .BTF of an ELF file. The file may
// be anybody's: what is no regular file, or too large, is an error; what the bytes mean is not looked at.
[[nodiscard]] Result<std::vector<char>> read_btf_file(const std::string& path);

// Reads that many bytes, from where the descriptor stands; fewer are an error, which names `path`.
[[nodiscard]] Result<std::vector<char>> read_bytes(int fd, size_t size, const std::string& path);

}  // namespace sonde
