// SPDX-License-Identifier: Apache-2.0
//
// Loads on the disk, one kind of request each, at queue depth 1. --file names a file or block device; a file
// that does not exist is made with --size-mb and removed at the end. Offsets are random with a fixed seed.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>

#include "tests/load/loads.h"
#include "userspace/base/unique_fd.h"

namespace sonde::load {
namespace {

constexpr size_t kBlock = 4096;
constexpr uint64_t kSeed = 42;

struct FreeDeleter {
    void operator()(char* memory) const { std::free(memory); }
};
using AlignedBlock = std::unique_ptr<char, FreeDeleter>;

AlignedBlock make_block()
{
    void* memory = std::aligned_alloc(kBlock, kBlock);
    if (memory == nullptr) {
        fail("allocate an aligned block");
    }
    std::fill_n(static_cast<char*>(memory), kBlock, 's');
    return AlignedBlock(static_cast<char*>(memory));
}

// The file of a load; removes it if it was made here.
class DataFile {
  public:
    enum class Access { kRead, kWrite };

    DataFile(const Options& options, Access access, int extra_flags) : path_(options.text("file", ""))
    {
        if (path_.empty()) {
            usage_error("this load needs --file PATH");
        }
        struct stat status {};
        const bool exists = ::stat(path_.c_str(), &status) == 0;
        if (exists && access == Access::kWrite && !options.has("overwrite")) {
            usage_error(path_ + " exists: say --overwrite to have its contents destroyed");
        }
        if (!exists) {
            create(options.number("size-mb", 64, 1, 65536) << 20);
        }
        const int flags = (access == Access::kWrite ? O_RDWR : O_RDONLY) | O_CLOEXEC | extra_flags;
        fd_ = UniqueFd(static_cast<int>(check(::open(path_.c_str(), flags), "open " + path_)));
        const long size = check(::lseek(fd_.get(), 0, SEEK_END), "size of " + path_);
        blocks_ = static_cast<size_t>(size) / kBlock;
        if (blocks_ == 0) {
            usage_error(path_ + " is smaller than 4 KiB");
        }
    }
    ~DataFile()
    {
        if (created_) {
            ::unlink(path_.c_str());
        }
    }
    DataFile(const DataFile&) = delete;
    DataFile& operator=(const DataFile&) = delete;

    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] size_t blocks() const { return blocks_; }

  private:
    void create(size_t size)
    {
        const UniqueFd fd(static_cast<int>(
            check(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), "create " + path_)));
        created_ = true;
        const std::string chunk(1 << 20, 's');
        for (size_t written = 0; written < size && !stop_requested(); written += chunk.size()) {
            check_retried([&] { return ::write(fd.get(), chunk.data(), chunk.size()); }, "write " + path_);
        }
        check_retried([&] { return ::fsync(fd.get()); }, "fsync " + path_);
    }

    std::string path_;
    UniqueFd fd_;
    size_t blocks_ = 0;
    bool created_ = false;
};

Report disk_report(const std::string& load, const Samples& waits, TaskTable& tasks)
{
    Report report(load);
    report.add("count", waits.count());
    report.add("bytes", waits.count() * kBlock);
    report.add("latency_ns", waits);
    report.add(tasks);
    return report;
}

// Times `transfer(offset)` at random block offsets.
template <class Transfer>
Report run_random(const std::string& load, const Options& options, const DataFile& file, Transfer transfer)
{
    TaskTable tasks(1);
    announce(options);
    TaskScope scope(tasks[0], "waiter", options.cpu_of(0));
    const Limit limit(options);
    std::mt19937_64 random(kSeed);
    Samples waits;
    while (!limit.reached(waits.count())) {
        const auto offset = static_cast<off_t>((random() % file.blocks()) * kBlock);
        const uint64_t start_ns = now_ns();
        check_retried([&] { return transfer(offset); }, load);
        waits.add(now_ns() - start_ns);
    }
    scope.finish(waits.count(), waits.sum_ns());
    return disk_report(load, waits, tasks);
}

uint64_t major_faults()
{
    rusage usage{};
    check(::getrusage(RUSAGE_THREAD, &usage), "getrusage");
    return static_cast<uint64_t>(usage.ru_majflt);
}

}  // namespace

Report run_direct_read(const Options& options)
{
    const DataFile file(options, DataFile::Access::kRead, O_DIRECT);
    const AlignedBlock block = make_block();
    return run_random("direct-read", options, file,
                      [&](off_t offset) { return ::pread(file.fd(), block.get(), kBlock, offset); });
}

Report run_direct_write(const Options& options)
{
    const DataFile file(options, DataFile::Access::kWrite, O_DIRECT);
    const AlignedBlock block = make_block();
    return run_random("direct-write", options, file,
                      [&](off_t offset) { return ::pwrite(file.fd(), block.get(), kBlock, offset); });
}

// Each operation writes a block to the page cache and waits in fdatasync; the samples are the fdatasync
// calls.
Report run_fsync(const Options& options)
{
    const DataFile file(options, DataFile::Access::kWrite, 0);
    const AlignedBlock block = make_block();
    TaskTable tasks(1);
    announce(options);
    TaskScope scope(tasks[0], "waiter", options.cpu_of(0));
    const Limit limit(options);
    Samples waits;
    while (!limit.reached(waits.count())) {
        const auto offset = static_cast<off_t>((waits.count() % file.blocks()) * kBlock);
        check_retried([&] { return ::pwrite(file.fd(), block.get(), kBlock, offset); }, "pwrite");
        const uint64_t start_ns = now_ns();
        check_retried([&] { return ::fdatasync(file.fd()); }, "fdatasync");
        waits.add(now_ns() - start_ns);
    }
    scope.finish(waits.count(), waits.sum_ns());
    return disk_report("fsync", waits, tasks);
}

// Touches pages of a mapped file in random order after dropping them from the page cache. Only touches during
// which the kernel counted a major fault are operations. The wait is for the disk, inside the page fault.
Report run_mmap_fault(const Options& options)
{
    const DataFile file(options, DataFile::Access::kRead, 0);
    const size_t bytes = file.blocks() * kBlock;
    auto* memory = static_cast<char*>(::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.fd(), 0));
    if (memory == MAP_FAILED) {
        fail("mmap");
    }
    check(::madvise(memory, bytes, MADV_RANDOM), "madvise(MADV_RANDOM)");
    std::vector<size_t> order(file.blocks());
    std::iota(order.begin(), order.end(), size_t{0});
    std::shuffle(order.begin(), order.end(), std::mt19937_64(kSeed));

    TaskTable tasks(1);
    announce(options);
    TaskScope scope(tasks[0], "waiter", options.cpu_of(0));
    const Limit limit(options);
    const uint64_t faults_before = major_faults();
    Samples waits;
    uint64_t touches = 0;
    for (size_t next = 0; !limit.reached(waits.count()); next = (next + 1) % order.size()) {
        if (next == 0) {
            check(::madvise(memory, bytes, MADV_DONTNEED), "madvise(MADV_DONTNEED)");
            errno = ::posix_fadvise(file.fd(), 0, static_cast<off_t>(bytes), POSIX_FADV_DONTNEED);
            check(-errno, "posix_fadvise(DONTNEED)");
        }
        const uint64_t faults = major_faults();
        const uint64_t start_ns = now_ns();
        (void)*const_cast<volatile char*>(memory + order[next] * kBlock);
        const uint64_t end_ns = now_ns();
        ++touches;
        if (major_faults() > faults) {
            waits.add(end_ns - start_ns);
        }
    }
    const uint64_t faults = major_faults() - faults_before;
    scope.finish(waits.count(), waits.sum_ns());
    check(::munmap(memory, bytes), "munmap");
    Report report = disk_report("mmap-fault", waits, tasks);
    report.add("touches", touches);
    report.add("major_faults", faults);
    return report;
}

}  // namespace sonde::load
