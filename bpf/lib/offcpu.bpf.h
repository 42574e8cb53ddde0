/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is a task waiting for, when it leaves the CPU blocked?
 *
 * Asked in sched_switch, about prev, which is still `current`. No system-call tracepoint is needed (each
 * one would slow down every system call of the host): the user-mode registers at the top of the kernel stack
 * hold the number of the system call, or -1 when the kernel was entered by an exception, which for a blocked
 * task means a page fault. A table made by user space says what each system call waits for.
 *
 * Limits: epoll and poll count as network, whatever they watch. Blocking on a pipe, a terminal, an eventfd or for
 * io_uring is `other` (since 6.5 the kernel calls every wait for io_uring an iowait); when a descriptor changes from one to a socket, up to 15 waits are still counted as before. Kernel threads have no system call: disk when in iowait, else `other`. Without BTF (raw_tp)
 * only disk (iowait) is known.
 */
#ifndef SONDE_LIB_OFFCPU_BPF_H
#define SONDE_LIB_OFFCPU_BPF_H

#include "bpf/abi/sched.h"
#include "bpf/lib/compat.bpf.h"

#define S_IFMT 00170000
#define S_IFSOCK 0140000

const volatile u8 syscall_reason[SONDE_MAX_SYSCALLS] = {};
/*
 * Whether a descriptor is a socket takes three probe reads, which cost as much as the rest of a switch. A thread
 * that blocks in read() mostly does so on the same descriptor, so the answer is kept, and asked again
 * after so many uses in case the number has been closed and given to another file.
 */
struct file_hint {
    u32 fd;
    u8 is_socket;
    u8 uses_left;
    u8 pad[2];
};
#define FILE_HINT_USES 15

/* bpf_probe_read_kernel is refused under lockdown=confidentiality. */
const volatile bool may_probe_read = true;

static __always_inline bool offcpu__fd_is_socket(struct task_struct *p, u64 fd)
{
    struct fdtable *table = p->files->fdt;
    struct file **files, *file = NULL;

    if (!may_probe_read || fd >= table->max_fds)
        return false;
    files = table->fd;
    if (bpf_probe_read_kernel(&file, sizeof(file), files + fd) || !file)
        return false;
    return (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFSOCK;
}

static __always_inline bool offcpu__waits_for_socket(struct task_struct *p, u64 fd, struct file_hint *hint)
{
    if (hint->fd != (u32)fd || hint->uses_left == 0) {
        hint->fd = fd;
        hint->is_socket = offcpu__fd_is_socket(p, fd);
        hint->uses_left = FILE_HINT_USES;
    } else {
        hint->uses_left--;
    }
    return hint->is_socket;
}

static __always_inline enum sonde_sched_series offcpu__by_syscall(struct task_struct *p, u32 state,
                                                                  struct pt_regs *regs, bool iowait,
                                                                  struct file_hint *hint)
{
    bool uninterruptible = state & TASK_UNINTERRUPTIBLE;
    u64 nr = regs__syscall(regs);
    u8 waits_for = nr < SONDE_MAX_SYSCALLS ? syscall_reason[nr] : SONDE_WAIT_OTHER;

    if (iowait && waits_for != SONDE_WAIT_RING)
        return SONDE_OFFCPU_DISK;
    switch (waits_for) {
    case SONDE_WAIT_DISK:
        return SONDE_OFFCPU_DISK;
    case SONDE_WAIT_LOCK:
        return SONDE_OFFCPU_LOCK;
    case SONDE_WAIT_NETWORK:
        return SONDE_OFFCPU_NETWORK;
    case SONDE_WAIT_SLEEP:
        return SONDE_OFFCPU_SLEEP;
    case SONDE_WAIT_KERNEL_LOCK:
        return uninterruptible ? SONDE_OFFCPU_LOCK : SONDE_OFFCPU_OTHER;
    case SONDE_WAIT_FILE:
        if (uninterruptible)
            return SONDE_OFFCPU_DISK;
        return offcpu__waits_for_socket(p, regs__syscall_arg0(regs), hint) ? SONDE_OFFCPU_NETWORK
                                                                            : SONDE_OFFCPU_OTHER;
    }
    return SONDE_OFFCPU_OTHER;
}

/*
 * For the running task, which is about to leave the CPU. A global function: to check a load of a typed pointer
 * the kernel searches its types by name, which takes a millisecond, and it does so once here instead of on
 * each path of sched_switch.
 */
__noinline int offcpu__reason_of_current(u32 state, struct file_hint *hint)
{
    struct task_struct *task = bpf_get_current_task_btf();
    bool iowait = BPF_CORE_READ_BITFIELD(task, in_iowait);
    struct pt_regs *regs;

    if (!hint)
        return SONDE_OFFCPU_OTHER;
    if (task->flags & PF_KTHREAD)
        return iowait ? SONDE_OFFCPU_DISK : SONDE_OFFCPU_OTHER;
    if (task->flags & PF_MEMALLOC)
        return SONDE_OFFCPU_FAULT;
    regs = (struct pt_regs *)bpf_task_pt_regs(task);
    if (regs__syscall(regs) == -1)
        return state & TASK_UNINTERRUPTIBLE ? SONDE_OFFCPU_FAULT : SONDE_OFFCPU_OTHER;
    if (task__is_compat(task))
        return iowait ? SONDE_OFFCPU_DISK : SONDE_OFFCPU_OTHER;
    return offcpu__by_syscall(task, state, regs, iowait, hint);
}

/* The same without BTF: no registers. */
static __always_inline enum sonde_sched_series offcpu__reason_raw(struct task_struct *task)
{
    return BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait) ? SONDE_OFFCPU_DISK : SONDE_OFFCPU_OTHER;
}

#endif
