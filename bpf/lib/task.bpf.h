/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the scheduler programs remember of a task between two events: one entry, found by one lookup.
 *
 * An array indexed by pid is the cheapest store (the lookup is inlined by the verifier), but it must be as
 * large as pid_max, which is 4 million on many hosts; task local storage costs some 30 ns more per lookup and
 * has no limit. User space chooses. Where only the array is possible (raw_tp: no typed task pointer) and
 * pid_max is larger than the array, two tasks may meet in one entry: the newcomer takes it, and the event is
 * counted as a collision.
 *
 * Entries of dead tasks are emptied at their last sched_switch, and once more when a new task wakes up
 * for the first time, so a reused pid never inherits anything.
 */
#ifndef SONDE_LIB_TASK_BPF_H
#define SONDE_LIB_TASK_BPF_H

#include "bpf/lib/filter.bpf.h"
#include "bpf/lib/offcpu.bpf.h"
#include "bpf/lib/process.bpf.h"

enum task_state {
    TASK_STATE_NEW,     /* not seen yet: no slot, filter not asked */
    TASK_STATE_IGNORED, /* the filter does not want it */
    TASK_STATE_KNOWN,   /* has a slot; when its present interval began is not known */
    TASK_STATE_RUNNING,
    TASK_STATE_QUEUED,
    TASK_STATE_BLOCKED,
};

struct task_entry {
    u64 since_ns;   /* when the present state began */
    u64 blocked_ns; /* QUEUED after a wakeup: when it had blocked; 0 otherwise */
    u64 throttle_queue; /* the run queue it waits on, and how long a quota had held that back */
    u64 throttle_clock;
    u32 pid;
    u32 slot;
    u32 filter_epoch;
    u8 state;   /* enum task_state */
    u8 series;  /* BLOCKED, QUEUED: the off-CPU series of the block, */
    u8 cause;   /* QUEUED: the run-queue series */
    u8 unnamed; /* the name of the process is to be read when this task leaves the CPU */
    struct file_hint file;
};

const volatile u32 task_store = SONDE_TASK_STORE_ARRAY;
const volatile u32 task_array_mask = 0;

/* A cache line each: an array that can be mapped begins on a page, others in the middle of a line. */
struct task_cell {
    struct task_entry entry;
} __attribute__((aligned(64)));

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE_ARRAY);
    __uint(max_entries, 1); /* set by user space: task_array_mask + 1 */
    __type(key, u32);
    __type(value, struct task_cell);
} task_array SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct task_entry);
} task_storage SEC(".maps");

/* Events count from the moment at which all programs are attached, until the first one goes: otherwise a wakeup that
 * is seen while its switch is not would make a wait out of a sleep. */
u32 counting = 0;

/* Grows when an event may have changed what the filter says about tasks already seen. */
u32 filter_epoch = 0;

static __always_inline void task__drop(enum sonde_sched_drop reason)
{
    __sync_fetch_and_add(&counters.drops[reason], 1);
}

/* Makes an entry as if its task had never been seen. */
static __always_inline void task__forget(struct task_entry *t)
{
    if (t->state >= TASK_STATE_KNOWN)
        process__detach(t->slot);
    t->state = TASK_STATE_NEW;
    t->file = (struct file_hint){};
    t->blocked_ns = 0;
}

/* The entry of a task, created if need be; NULL when there is no memory for one. */
static __always_inline struct task_entry *task__entry(const bool btf, struct task_struct *p, u32 pid)
{
    struct task_entry *t;
    u32 index;

    if (btf && task_store == SONDE_TASK_STORE_STORAGE) {
        t = bpf_task_storage_get(&task_storage, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
        if (!t)
            task__drop(SONDE_SCHED_DROP_NO_TASK_STATE);
        return t;
    }
    index = pid & task_array_mask;
    t = bpf_map_lookup_elem(&task_array, &index);
    if (t && t->pid != pid) {
        if (t->pid) {
            task__drop(SONDE_SCHED_DROP_PID_COLLISION);
            task__forget(t);
        }
        t->pid = pid;
    }
    return t;
}

/* Asks the filter about a task seen for the first time, or again after a change. */
static __always_inline void task__admit(const bool btf, struct task_struct *p, struct task_entry *t)
{
    t->filter_epoch = filter_epoch;
    if (!filter__matches(btf, p)) {
        task__forget(t);
        t->state = TASK_STATE_IGNORED;
        return;
    }
    if (t->state < TASK_STATE_KNOWN) {
        t->slot = process__attach(btf, p);
        t->unnamed = 1;
        t->state = TASK_STATE_KNOWN;
    }
}

/* True when the session is about this task; its entry then has a slot. */
static __always_inline bool task__wanted(const bool btf, struct task_struct *p, struct task_entry *t)
{
    if (t->state == TASK_STATE_NEW || t->filter_epoch != filter_epoch)
        task__admit(btf, p, t);
    return t->state != TASK_STATE_IGNORED;
}

#endif
