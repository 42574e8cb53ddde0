// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/syscall_reasons.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <algorithm>
#include <vector>

namespace sonde {
namespace {

// Numbers that are the same on all architectures and newer than some C libraries.
constexpr int kEpollPwait2 = 441;
constexpr int kFutexWaitv = 449;
constexpr int kFutexWake = 454;  // does not wait
constexpr int kFutexWait = 455;

void expect_reason(sonde_wait_hint reason, const std::vector<size_t>& calls)
{
    const std::array<uint8_t, SONDE_MAX_SYSCALLS> reasons = syscall_reasons();
    for (const size_t call : calls) {
        EXPECT_EQ(reasons.at(call), reason) << "system call " << call;
    }
}

TEST(SyscallReasons, Disk)
{
    expect_reason(SONDE_WAIT_DISK, {SYS_fsync, SYS_fdatasync, SYS_pread64, SYS_pwritev2, SYS_io_getevents, SYS_openat});
}

TEST(SyscallReasons, Lock)
{
    expect_reason(SONDE_WAIT_LOCK, {SYS_futex, SYS_flock, SYS_semop, kFutexWaitv, kFutexWait});
}

TEST(SyscallReasons, Network)
{
    expect_reason(SONDE_WAIT_NETWORK,
                  {SYS_recvfrom, SYS_sendmsg, SYS_accept4, SYS_connect, SYS_ppoll, SYS_epoll_pwait, kEpollPwait2});
}

TEST(SyscallReasons, Sleep)
{
    expect_reason(SONDE_WAIT_SLEEP, {SYS_nanosleep, SYS_clock_nanosleep, SYS_rt_sigtimedwait});
}

TEST(SyscallReasons, WhatDependsOnTheFile)
{
    expect_reason(SONDE_WAIT_FILE, {SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_close, SYS_sendfile});
}

TEST(SyscallReasons, WhatWaitsForALockOfTheKernel)
{
    expect_reason(SONDE_WAIT_KERNEL_LOCK, {SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise, SYS_brk});
}

TEST(SyscallReasons, WhatIsNotListedIsOther)
{
    EXPECT_EQ(SONDE_WAIT_OTHER, 0);
    expect_reason(SONDE_WAIT_OTHER, {SYS_getpid, SYS_uname, SYS_sched_yield, SYS_exit_group, SYS_dup, SYS_bpf,
                                     SYS_clone, SYS_execve, kFutexWake, SONDE_MAX_SYSCALLS - 1});
}

TEST(SyscallReasons, MostCallsAreNotListed)
{
    const std::array<uint8_t, SONDE_MAX_SYSCALLS> reasons = syscall_reasons();
    EXPECT_GT(std::count(reasons.begin(), reasons.end(), SONDE_WAIT_OTHER), SONDE_MAX_SYSCALLS * 3 / 4);
    EXPECT_TRUE(std::all_of(reasons.begin(), reasons.end(), [](uint8_t r) { return r <= SONDE_WAIT_RING; }));
}

#ifdef __x86_64__
// By number: 0 read, 2 open, 7 poll, 23 select, 34 pause, 82 rename, 87 unlink, 202 futex, 232 epoll_wait.
TEST(SyscallReasons, CallsThatOnlyOldArchitecturesHave)
{
    expect_reason(SONDE_WAIT_DISK, {2, 82, 87});
    expect_reason(SONDE_WAIT_NETWORK, {7, 23, 232});
    expect_reason(SONDE_WAIT_SLEEP, {34});
    expect_reason(SONDE_WAIT_FILE, {0});
    expect_reason(SONDE_WAIT_LOCK, {202});
}
#endif

}  // namespace
}  // namespace sonde
