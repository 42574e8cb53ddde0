/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * All differences between kernels, in one place. Each entry names the change and the oldest kernel that
 * has the new form: when sonde's oldest supported kernel (5.15) passes it, the entry may go. Everything is
 * decided by the existence of a field at load time, never by a version.
 */
#ifndef SONDE_LIB_COMPAT_BPF_H
#define SONDE_LIB_COMPAT_BPF_H

#include "bpf/lib/common.bpf.h"

/* 6.18 throttles tasks one by one when they return to user mode (task_struct.throttled, "sched/fair: Switch
 * to task based throttle model"); before, the whole cfs_rq was taken off the run queue (throttle_count). */
struct task_struct___6_18 {
    bool throttled;
} __attribute__((preserve_access_index));

/* cfs_rq.throttled_clock_pelt_time was throttled_clock_task_time before 5.19. */
struct cfs_rq___5_15 {
    u64 throttled_clock_task_time;
} __attribute__((preserve_access_index));

static __always_inline bool task__throttled(const bool btf, struct task_struct *p)
{
    if (bpf_core_field_exists(struct task_struct___6_18, throttled)) {
        struct task_struct___6_18 *new_task = (void *)p;

        return FIELD(btf, new_task, throttled);
    }
    if (bpf_core_field_exists(struct cfs_rq, throttle_count)) {
        struct cfs_rq *cfs_rq = FIELD(btf, p, se.cfs_rq);

        return FIELD(btf, p, prio) >= MAX_RT_PRIO && FIELD(btf, cfs_rq, throttle_count) > 0;
    }
    return false;
}

/* Which run queue the clock below belongs to: there is one per cgroup and CPU. */
static __always_inline u64 task__throttle_queue(const bool btf, struct task_struct *p)
{
    if (bpf_core_field_exists(struct task_struct___6_18, throttled) ||
        !bpf_core_field_exists(struct sched_entity, cfs_rq))
        return 0;
    return (u64)FIELD(btf, p, se.cfs_rq);
}

/* Total time for which the run queue of this task was throttled: it has grown if a quota held back a task
 * that was already waiting. 0 where throttling is per task, because then a waiting task is never throttled. */
static __always_inline u64 task__throttle_clock(const bool btf, struct task_struct *p)
{
    struct cfs_rq *cfs_rq;

    if (bpf_core_field_exists(struct task_struct___6_18, throttled) ||
        !bpf_core_field_exists(struct sched_entity, cfs_rq))
        return 0;
    cfs_rq = FIELD(btf, p, se.cfs_rq);
    if (bpf_core_field_exists(struct cfs_rq, throttled_clock_pelt_time))
        return FIELD(btf, cfs_rq, throttled_clock_pelt_time);
    if (bpf_core_field_exists(struct cfs_rq___5_15, throttled_clock_task_time)) {
        struct cfs_rq___5_15 *old = (void *)cfs_rq;

        return FIELD(btf, old, throttled_clock_task_time);
    }
    return 0;
}

/* The number of the system call that a task is in, -1 when it is in an exception, an interrupt or none. */
static __always_inline long regs__syscall(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
    return regs->orig_ax;
#elif defined(__TARGET_ARCH_arm64)
    return regs->syscallno;
#else
#error "regs__syscall: architecture not supported"
#endif
}

static __always_inline long regs__syscall_arg0(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
    return regs->di;
#elif defined(__TARGET_ARCH_arm64)
    return regs->orig_x0;
#endif
}

/* 32-bit programs use other system call numbers. */
static __always_inline bool task__is_compat(struct task_struct *p)
{
#if defined(__TARGET_ARCH_x86)
    return p->thread_info.status & 2; /* TS_COMPAT */
#else
    return false;
#endif
}

/* request_queue.disk since 5.17; before, request.rq_disk. */
struct request___5_15 {
    struct gendisk *rq_disk;
} __attribute__((preserve_access_index));

static __always_inline struct gendisk *request__disk(const bool btf, struct request *rq,
                                                     struct request_queue *q)
{
    struct request___5_15 *old = (void *)rq;

    if (bpf_core_field_exists(struct request_queue, disk))
        return FIELD(btf, q, disk);
    return FIELD(btf, old, rq_disk);
}

#endif
