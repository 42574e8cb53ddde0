// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/block_devices.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace sonde::test {
namespace {

constexpr size_t kPage = 4096;
constexpr int kTries = 10;

int check(int result, const std::string& what)
{
    if (result < 0) {
        throw std::runtime_error(what + ": " + std::strerror(errno));
    }
    return result;
}

}  // namespace

LoopDevice::LoopDevice(uint64_t bytes)
{
    static int number = 0;
    const std::string backing_path = "/dev/shm/sonde-test-" + std::to_string(getpid()) + "-" + std::to_string(++number);
    backing_ = UniqueFd(check(open(backing_path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), backing_path));
    unlink(backing_path.c_str());  // the device and this object keep the file
    // Every page exists, so that reads and writes cost the same from the first on.
    check(posix_fallocate(backing_.get(), 0, static_cast<off_t>(bytes)) == 0 ? 0 : -1, "allocate " + backing_path);
    const UniqueFd control(check(open("/dev/loop-control", O_RDWR | O_CLOEXEC), "open /dev/loop-control"));
    for (int i = 0; !loop_; ++i) {
        // Somebody else may take the free device first.
        name_ = "loop" + std::to_string(check(ioctl(control.get(), LOOP_CTL_GET_FREE), "find a loop device"));
        path_ = "/dev/" + name_;
        UniqueFd fd(check(open(path_.c_str(), O_RDWR | O_CLOEXEC), "open " + path_));
        loop_config config{};
        config.fd = static_cast<__u32>(backing_.get());
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
        if (ioctl(fd.get(), LOOP_CONFIGURE, &config) == 0) {
            loop_ = std::move(fd);
        } else if (errno != EBUSY || i == kTries) {
            check(-1, "configure " + path_);
        }
    }
}

void LoopDevice::discard(uint64_t offset, uint64_t bytes)
{
    std::array<uint64_t, 2> range{offset, bytes};
    check(ioctl(loop_.get(), BLKDISCARD, range.data()), "discard on " + path_);
}

uint64_t LoopDevice::in_flight() const
{
    std::ifstream file("/sys/block/" + name_ + "/inflight");
    uint64_t reads = 0;
    uint64_t writes = 0;
    file >> reads >> writes;
    return reads + writes;
}

void LoopDevice::set_iostats(bool on) const
{
    std::ofstream("/sys/block/" + name_ + "/queue/iostats") << (on ? "1" : "0") << std::flush;
}

WritesHeld::WritesHeld(int file)
{
    faults_ = UniqueFd(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
    if (!faults_) {
        return;
    }
    uffdio_api api{};
    api.api = UFFD_API;
    check(ioctl(faults_.get(), UFFDIO_API, &api), "UFFDIO_API");
    page_ = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uffdio_register range{};
    range.range = {reinterpret_cast<uintptr_t>(page_), kPage};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    check(ioctl(faults_.get(), UFFDIO_REGISTER, &range), "UFFDIO_REGISTER");
    writer_ = std::thread([file, page = page_] { (void)!pwrite(file, page, kPage, 0); });
    pollfd fault{faults_.get(), POLLIN, 0};
    poll(&fault, 1, 10'000);  // the thread is in its write now, and holds the lock
}

void WritesHeld::release()
{
    if (!writer_.joinable()) {
        return;
    }
    uffdio_zeropage zero{};
    zero.range = {reinterpret_cast<uintptr_t>(page_), kPage};
    ioctl(faults_.get(), UFFDIO_ZEROPAGE, &zero);
    writer_.join();
    munmap(page_, kPage);
}

ScratchDisk::ScratchDisk(uint64_t bytes)
{
    const char* disk = std::getenv("SONDE_TEST_DISK");
    if (disk != nullptr) {
        path_ = disk;
        return;
    }
    const char* folder = std::getenv("TMPDIR");
    const std::string parent = folder != nullptr ? folder : "/tmp";
    struct statfs volume {};
    if (statfs(parent.c_str(), &volume) != 0 || volume.f_type == TMPFS_MAGIC) {
        return;
    }
    path_ = parent + "/sonde-test-" + std::to_string(getpid());
    made_here_ = true;
    const UniqueFd fd(check(open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), "make " + path_));
    const std::string chunk(1 << 20, 's');
    for (uint64_t written = 0; written < bytes; written += chunk.size()) {
        check(static_cast<int>(write(fd.get(), chunk.data(), chunk.size())), "write " + path_);
    }
    check(fsync(fd.get()), "fsync " + path_);
}

ScratchDisk::~ScratchDisk()
{
    if (made_here_) {
        unlink(path_.c_str());
    }
}

}  // namespace sonde::test
