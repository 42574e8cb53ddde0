/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What sched.bpf.c and its reader in user space share. */
#ifndef SONDE_ABI_SCHED_H
#define SONDE_ABI_SCHED_H

#include "bpf/abi/filter.h"
#include "bpf/abi/hist.h"

/* One distribution per process and series. */
enum sonde_sched_series {
    SONDE_RUNQ_WOKEN,     /* run queue: from wakeup to running */
    SONDE_RUNQ_PREEMPTED, /* run queue: from losing the CPU while runnable to running again */
    SONDE_RUNQ_THROTTLED, /* as either, and a CPU quota held the task back in the meantime */
    SONDE_ONCPU,          /* running, uninterrupted */
    SONDE_OFFCPU_DISK,    /* blocked: from leaving the CPU to the wakeup, by what was waited for */
    SONDE_OFFCPU_LOCK,
    SONDE_OFFCPU_NETWORK,
    SONDE_OFFCPU_SLEEP,
    SONDE_OFFCPU_FAULT, /* page fault or memory reclaim */
    SONDE_OFFCPU_OTHER,
    SONDE_SCHED_SERIES,
};

/* What a system call that blocks is waiting for; the table syscall_reason[] holds these, 0 = not listed. */
enum sonde_wait_hint {
    SONDE_WAIT_OTHER,
    SONDE_WAIT_DISK,
    SONDE_WAIT_LOCK,
    SONDE_WAIT_NETWORK,
    SONDE_WAIT_SLEEP,
    SONDE_WAIT_FILE,        /* depends on the descriptor: network for a socket, disk when uninterruptible */
    SONDE_WAIT_KERNEL_LOCK, /* lock when uninterruptible (mmap_lock), else other */
    SONDE_WAIT_RING,        /* io_uring: for disks, sockets or timers, it does not say which: other */
};

#define SONDE_MAX_SYSCALLS 512

/* Where the state of a task is kept. */
enum sonde_task_store {
    SONDE_TASK_STORE_ARRAY,   /* indexed by pid modulo the array's size */
    SONDE_TASK_STORE_STORAGE, /* BPF task local storage */
};

/* Events seen and not measured, by reason. */
enum sonde_sched_drop {
    SONDE_SCHED_DROP_BEGAN_BEFORE,   /* the interval began before tracing did */
    SONDE_SCHED_DROP_NO_TASK_STATE,  /* no memory for the task's state */
    SONDE_SCHED_DROP_PID_COLLISION,  /* two live tasks shared an entry of the array */
    SONDE_SCHED_DROP_CLOCK_BACKWARD, /* end before start: clocks of two CPUs disagree */
    SONDE_SCHED_DROP_EVENT_MISSING,  /* the kernel did not report the event that began the interval */
    SONDE_SCHED_DROPS,
};

/* Slot 0 collects what found no slot of its own. */
#define SONDE_OTHER_SLOT 0

struct sonde_process {
    __u32 tgid; /* 0: the slot is free */
    __u32 is_kthread;
    char comm[SONDE_COMM_LEN]; /* of the leader; any bytes */
};

struct sonde_sched_rows {
    __u32 threads; /* tasks attached to this slot; user space may recycle a slot with none */
    __u32 pad[15]; /* rows begin on a cache line */
    struct sonde_hist_row series[SONDE_SCHED_SERIES];
};
/* Slot 0 is written by anybody: its count starts here, so that it never looks like that of a single thread. */
#define SONDE_OTHER_SLOT_THREADS 0x10000000

struct sonde_sched_counters {
    __u64 drops[SONDE_SCHED_DROPS];
    __u64 slots_full;  /* tasks put into slot 0 because no slot was free */
    __u64 chunks_full; /* values put into slot 0 because no chunk was free */
};

#ifdef __cplusplus
static_assert(sizeof(sonde_process) == 24);
static_assert(sizeof(sonde_sched_rows) % 8 == 0 && sizeof(sonde_sched_counters) % 8 == 0);
#endif

#endif
