// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Keeps the set of processes that descend from a traced command. A child joins before it first runs
 * (sched_process_fork comes before its wakeup); a process leaves when its last thread exits, so that a
 * later process with the same pid is not taken for it.
 */
#include "bpf/lib/filter.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Children that could not be followed because follow_targets was full. */
u64 follow_lost = 0;

static __always_inline int follow__fork(const bool btf, struct task_struct *parent, struct task_struct *child)
{
    u32 parent_tgid = FIELD(btf, parent, tgid);
    u32 child_tgid = FIELD(btf, child, tgid);
    u8 one = 1;

    if (child_tgid == parent_tgid || !bpf_map_lookup_elem(&follow_targets, &parent_tgid))
        return 0;
    if (bpf_map_update_elem(&follow_targets, &child_tgid, &one, BPF_ANY))
        __sync_fetch_and_add(&follow_lost, 1);
    return 0;
}

static __always_inline int follow__exit(const bool btf, struct task_struct *p)
{
    u32 tgid = FIELD(btf, p, tgid);
    struct signal_struct *signal = FIELD(btf, p, signal);

    if (FIELD(btf, signal, live.counter) == 0)
        bpf_map_delete_elem(&follow_targets, &tgid);
    return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(sonde_follow_fork, struct task_struct *parent, struct task_struct *child)
{
    return follow__fork(true, parent, child);
}

SEC("raw_tp/sched_process_fork")
int BPF_PROG(sonde_follow_fork_raw, struct task_struct *parent, struct task_struct *child)
{
    return follow__fork(false, parent, child);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sonde_follow_exit, struct task_struct *p)
{
    return follow__exit(true, p);
}

SEC("raw_tp/sched_process_exit")
int BPF_PROG(sonde_follow_exit_raw, struct task_struct *p)
{
    return follow__exit(false, p);
}
