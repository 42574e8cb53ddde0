// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/syscall_reasons.h"

#include <sys/syscall.h>

#include <cstddef>

#include <initializer_list>

namespace sonde {
namespace {

// Calls newer than the C library's headers; numbers from 424 on are the same on all architectures.
constexpr int kIoUringEnter = 426;
constexpr int kFutexWaitv = 449;
constexpr int kEpollPwait2 = 441;
constexpr int kFutexWait = 455;

}  // namespace

std::array<uint8_t, SONDE_MAX_SYSCALLS> syscall_reasons()
{
    std::array<uint8_t, SONDE_MAX_SYSCALLS> table{};
    const auto set = [&table](sonde_wait_hint hint, std::initializer_list<int> calls) {
        for (const int call : calls) {
            table.at(static_cast<std::size_t>(call)) = hint;
        }
    };
    // Waiting for a disk is mostly seen by in_iowait; these calls also wait in ways that do not set it
    // (a journal commit, an inode lock held by another writer).
    set(SONDE_WAIT_DISK,
        {SYS_fsync,     SYS_fdatasync, SYS_sync,         SYS_syncfs,    SYS_sync_file_range, SYS_msync,
         SYS_fallocate, SYS_ftruncate, SYS_io_getevents, SYS_pread64,   SYS_pwrite64,        SYS_preadv,
         SYS_pwritev,   SYS_preadv2,   SYS_pwritev2,     SYS_renameat,  SYS_renameat2,       SYS_unlinkat,
         SYS_mkdirat,   SYS_openat,    SYS_readahead,    SYS_fadvise64, SYS_copy_file_range});
    set(SONDE_WAIT_LOCK, {SYS_futex, kFutexWaitv, kFutexWait, SYS_flock, SYS_semop, SYS_semtimedop});
    set(SONDE_WAIT_NETWORK,
        {SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_sendto, SYS_sendmsg, SYS_sendmmsg, SYS_accept, SYS_accept4,
         SYS_connect, SYS_shutdown, SYS_epoll_pwait, kEpollPwait2, SYS_ppoll, SYS_pselect6});
    set(SONDE_WAIT_SLEEP,
        {SYS_nanosleep, SYS_clock_nanosleep, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_restart_syscall});
    set(SONDE_WAIT_FILE, {SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_close, SYS_sendfile});
    set(SONDE_WAIT_RING, {kIoUringEnter});
    set(SONDE_WAIT_KERNEL_LOCK, {SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise, SYS_brk});
#ifdef __x86_64__  // calls that newer architectures do without
    set(SONDE_WAIT_DISK, {SYS_rename, SYS_unlink, SYS_mkdir, SYS_open});
    set(SONDE_WAIT_NETWORK, {SYS_epoll_wait, SYS_poll, SYS_select});
    set(SONDE_WAIT_SLEEP, {SYS_pause});
#endif
    return table;
}

}  // namespace sonde
