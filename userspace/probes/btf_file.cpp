// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/btf_file.h"

#include <fcntl.h>
#include <gelf.h>
#include <linux/btf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string_view>

#include "userspace/base/unique_fd.h"

namespace sonde {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{64} << 20;  // kernels of distributions have some 5 MB

struct ElfDeleter {
    void operator()(Elf* elf) const { elf_end(elf); }
};

// The section .BTF. libelf is asked, not libbpf, which takes the file's word for what it holds.
Result<std::vector<char>> from_elf(int fd, const std::string& path)
{
    elf_version(EV_CURRENT);
    const std::unique_ptr<Elf, ElfDeleter> elf(elf_begin(fd, ELF_C_READ, nullptr));
    size_t names = 0;
    if (!elf || elf_kind(elf.get()) != ELF_K_ELF || elf_getshdrstrndx(elf.get(), &names) != 0) {
        return Error{EINVAL, path + ": neither BTF nor an ELF file"};
    }
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf.get(), section)) != nullptr;) {
        GElf_Shdr header;
        const char* name =
            gelf_getshdr(section, &header) != nullptr ? elf_strptr(elf.get(), names, header.sh_name) : nullptr;
        if (name == nullptr || std::string_view(name) != ".BTF") {
            continue;
        }
        if (header.sh_size > kMaxBytes) {
            return Error::from_errno(EFBIG, path);
        }
        const Elf_Data* data = header.sh_type == SHT_PROGBITS ? elf_rawdata(section, nullptr) : nullptr;
        if (data == nullptr || data->d_buf == nullptr) {
            return Error{EINVAL, path + ": its section .BTF cannot be read"};
        }
        const char* begin = static_cast<const char*>(data->d_buf);
        return std::vector<char>(begin, begin + data->d_size);
    }
    return Error{EINVAL, path + ": an ELF file without a section .BTF"};
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
        return from_elf(fd.get(), path);
    }
    if (static_cast<uint64_t>(info.st_size) > kMaxBytes) {
        return Error::from_errno(EFBIG, path);
    }
    return read_bytes(fd.get(), static_cast<size_t>(info.st_size), path);
}

}  // namespace sonde
