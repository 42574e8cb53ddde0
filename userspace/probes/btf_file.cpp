// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/btf_file.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "userspace/base/unique_fd.h"
#include "userspace/probes/libbpf_ptr.h"

namespace sonde {
namespace {

constexpr off_t kMaxBytes = off_t{64} << 20;  // kernels of distributions have some 5 MB

Result<std::vector<char>> from_elf(const std::string& path)
{
    const BtfPtr parsed(btf__parse_elf(path.c_str(), nullptr));
    if (!parsed) {
        std::array<char, 128> reason;
        libbpf_strerror(errno, reason.data(), reason.size());  // libbpf has numbers of its own
        return Error{EINVAL, path + ": " + reason.data()};
    }
    __u32 size = 0;
    const char* begin = static_cast<const char*>(btf__raw_data(parsed.get(), &size));
    return begin != nullptr ? Result<std::vector<char>>(std::vector<char>(begin, begin + size))
                            : Error::from_errno(ENOMEM, path);
}

}  // namespace

Result<std::vector<char>> read_bytes(int fd, size_t size, const std::string& path)
{
    std::vector<char> bytes(size);
    for (size_t done = 0; done < size;) {
        const ssize_t n = ::read(fd, bytes.data() + done, size - done);
        if (n <= 0) {
            return Error::from_errno(n < 0 ? errno : EIO, path);
        }
        done += static_cast<size_t>(n);
    }
    return bytes;
}

Result<std::vector<char>> read_btf_file(const std::string& path)
{
    // Opening a FIFO would otherwise wait for a writer.
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) {
        return Error::from_errno(errno, path);
    }
    if (!S_ISREG(info.st_mode)) {
        return Error{EINVAL, path + ": not a regular file"};
    }
    uint16_t magic = 0;
    if (::pread(fd.get(), &magic, sizeof(magic), 0) != sizeof(magic) || magic != BTF_MAGIC) {
        return from_elf(path);
    }
    if (info.st_size > kMaxBytes) {
        return Error::from_errno(EFBIG, path);
    }
    return read_bytes(fd.get(), static_cast<size_t>(info.st_size), path);
}

}  // namespace sonde
