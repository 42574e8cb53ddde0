/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A slot per process: where the series of a process are.
 *
 * A task finds its slot once, when it is first seen, and keeps the number in its own state; so the hash is
 * off the hot path. A slot counts the tasks that hold its number. When the count is zero nobody can write to
 * it, and user space may fold its numbers away and give it back: first it removes the process from
 * slots_by_tgid, then, a moment later, if the count is still zero, it clears the slot and pushes it to
 * slot_free.
 */
#ifndef SONDE_LIB_PROCESS_BPF_H
#define SONDE_LIB_PROCESS_BPF_H

#include "bpf/abi/sched.h"
#include "bpf/lib/common.bpf.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE_ARRAY);
    __uint(max_entries, 1); /* set by user space */
    __type(key, u32);
    __type(value, struct sonde_process);
} processes SEC(".maps");

/* The histograms of each slot, and how many tasks hold it. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE_ARRAY);
    __uint(max_entries, 1); /* set by user space */
    __type(key, u32);
    __type(value, struct sonde_sched_rows);
} rows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1); /* set by user space */
    __type(key, u32);
    __type(value, u32);
} slots_by_tgid SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1); /* set by user space */
    __type(value, u32);
} slot_free SEC(".maps");

const volatile u32 nr_slots = 1;
/* The next slot never used before; later ones come from slot_free. */
u32 slot_cursor = SONDE_OTHER_SLOT + 1;
struct sonde_sched_counters counters = {};
/* Slots whose last task has gone: tells user space that there is something to fold. */
u64 slots_left = 0;

static __always_inline u32 process__free_slot(void)
{
    u32 slot;

    if (slot_cursor < nr_slots) {
        slot = __sync_fetch_and_add(&slot_cursor, 1);
        if (slot < nr_slots)
            return slot;
    }
    if (bpf_map_pop_elem(&slot_free, &slot) == 0)
        return slot;
    return SONDE_OTHER_SLOT;
}

/* A new slot for a process, or slot 0 when there is none left. */
__noinline u32 process__new_slot(u32 tgid, u32 is_kthread)
{
    struct sonde_process *info;
    u32 slot = process__free_slot();
    u32 *theirs;

    info = bpf_map_lookup_elem(&processes, &slot);
    if (!info || slot == SONDE_OTHER_SLOT) {
        __sync_fetch_and_add(&counters.slots_full, 1);
        return SONDE_OTHER_SLOT;
    }
    info->tgid = tgid;
    info->is_kthread = is_kthread;
    if (bpf_map_update_elem(&slots_by_tgid, &tgid, &slot, BPF_NOEXIST) == 0)
        return slot;

    /* Another CPU was faster, or the hash is full. */
    info->tgid = 0;
    bpf_map_push_elem(&slot_free, &slot, 0);
    theirs = bpf_map_lookup_elem(&slots_by_tgid, &tgid);
    if (theirs)
        return *theirs;
    __sync_fetch_and_add(&counters.slots_full, 1);
    return SONDE_OTHER_SLOT;
}

/* A first name for a slot: that of the task which was seen first. A new process has one thread, so it is right; of an
 * older one it may be a thread's name, until one of its threads leaves the CPU. */
static __always_inline void process__first_name(const bool btf, u32 slot, struct task_struct *p)
{
    struct sonde_process *info = bpf_map_lookup_elem(&processes, &slot);

    if (!info || slot == SONDE_OTHER_SLOT || info->comm[0])
        return;
    if (btf) {
#pragma unroll
        for (int i = 0; i < SONDE_COMM_LEN; i++)
            info->comm[i] = p->comm[i];
    } else {
        bpf_core_read(info->comm, sizeof(info->comm), &p->comm);
    }
}

/* The slot of a task's process, which then counts the task as one of its holders. */
static __always_inline u32 process__attach(const bool btf, struct task_struct *p)
{
    u32 tgid = FIELD(btf, p, tgid);
    u32 *known = bpf_map_lookup_elem(&slots_by_tgid, &tgid);
    u32 slot = known ? *known : process__new_slot(tgid, !!(FIELD(btf, p, flags) & PF_KTHREAD));
    struct sonde_sched_rows *r = bpf_map_lookup_elem(&rows, &slot);

    if (r)
        __sync_fetch_and_add(&r->threads, 1);
    process__first_name(btf, slot, p);
    return slot;
}

/* A task lets go of its slot, after its last event. */
static __always_inline void process__detach(u32 slot)
{
    struct sonde_sched_rows *r = bpf_map_lookup_elem(&rows, &slot);

    if (r && __sync_fetch_and_add(&r->threads, -1) == 1)
        __sync_fetch_and_add(&slots_left, 1);
}

/* Notes the name of the process that is running now. Global, so that the verifier looks at it once. */
__noinline int process__name_current(u32 slot)
{
    struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
    struct sonde_process *info = bpf_map_lookup_elem(&processes, &slot);

    if (!info || slot == SONDE_OTHER_SLOT)
        return 0;
#pragma unroll
    for (int i = 0; i < SONDE_COMM_LEN; i++)
        info->comm[i] = leader->comm[i];
    return 0;
}

/* The same without BTF. */
static __always_inline void process__name_current_raw(u32 slot)
{
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    struct task_struct *leader = BPF_CORE_READ(task, group_leader);
    struct sonde_process *info = bpf_map_lookup_elem(&processes, &slot);

    if (info && slot != SONDE_OTHER_SLOT)
        bpf_core_read(info->comm, sizeof(info->comm), &leader->comm);
}

#endif
