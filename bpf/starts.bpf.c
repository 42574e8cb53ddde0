// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Which processes have started: forked, or become another program. User space looks a few times a second, and looks at
 * all processes where it came too late for the ring.
 */
#include "bpf/lib/compat.bpf.h"

#include "bpf/abi/starts.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

u32 started[SONDE_STARTS] = {}; /* tgids; 0: not written yet, or taken */
u64 started_head = 0;           /* how many there were */

static __always_inline int starts__add(u32 tgid)
{
    u64 at = __sync_fetch_and_add(&started_head, 1);

    started[at & (SONDE_STARTS - 1)] = tgid;
    return 0;
}

static __always_inline int starts__fork(const bool btf, struct task_struct *parent, struct task_struct *child)
{
    u32 child_tgid = FIELD(btf, child, tgid);
    u32 parent_tgid = FIELD(btf, parent, tgid);

    return child_tgid == parent_tgid ? 0 : starts__add(child_tgid);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(sonde_starts_fork, struct task_struct *parent, struct task_struct *child)
{
    return starts__fork(true, parent, child);
}

SEC("raw_tp/sched_process_fork")
int BPF_PROG(sonde_starts_fork_raw, struct task_struct *parent, struct task_struct *child)
{
    return starts__fork(false, parent, child);
}

/* The task is the current one. */
SEC("raw_tp/sched_process_exec")
int sonde_starts_exec(void *unused) { return starts__add(bpf_get_current_pid_tgid() >> 32); }
