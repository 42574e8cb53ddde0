// SPDX-License-Identifier: Apache-2.0
//
// Block devices to do I/O on.
#pragma once

#include <cstdint>
#include <string>
#include <thread>

#include "userspace/base/unique_fd.h"

namespace sonde::test {

// A loop device on a file in memory: nobody else uses it, so its requests can be counted. Removed at the end.
class LoopDevice {
  public:
    explicit LoopDevice(uint64_t bytes = 32 << 20);
    ~LoopDevice() { set_iostats(true); }  // the device outlives its file
    LoopDevice(const LoopDevice&) = delete;
    LoopDevice& operator=(const LoopDevice&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }  // /dev/loop0
    [[nodiscard]] const std::string& name() const { return name_; }  // loop0
    // Discards so many bytes in one request.
    void discard(uint64_t offset, uint64_t bytes);
    // Requests that have been submitted and not yet completed.
    [[nodiscard]] uint64_t in_flight() const;
    // Whether the kernel accounts its requests: until this goes away.
    void set_iostats(bool on) const;
    [[nodiscard]] int backing_fd() const { return backing_.get(); }

  private:
    UniqueFd backing_;
    UniqueFd loop_;
    std::string path_;
    std::string name_;
};

// While it exists, writes to a file in memory wait: a thread holds the inode's lock, in a write whose
// data does not come (it is at an address whose page faults userfaultfd leaves unanswered).
class WritesHeld {
  public:
    explicit WritesHeld(int file);
    ~WritesHeld() { release(); }
    WritesHeld(const WritesHeld&) = delete;
    WritesHeld& operator=(const WritesHeld&) = delete;

    // False where this kernel has no userfaultfd.
    [[nodiscard]] bool works() const { return writer_.joinable(); }
    void release();

  private:
    UniqueFd faults_;
    void* page_ = nullptr;
    std::thread writer_;
};

// Something on a real disk that loads may read and overwrite: the block device SONDE_TEST_DISK, or a file in TMPDIR or
// /tmp, made here and removed at the end. Not usable() when that is memory, too.
class ScratchDisk {
  public:
    explicit ScratchDisk(uint64_t bytes = 32 << 20);
    ~ScratchDisk();
    ScratchDisk(const ScratchDisk&) = delete;
    ScratchDisk& operator=(const ScratchDisk&) = delete;

    [[nodiscard]] bool usable() const { return !path_.empty(); }
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
    bool made_here_ = false;
};

}  // namespace sonde::test
