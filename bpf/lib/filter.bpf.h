/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Does the session want this task? Costs a few loads; callers on hot paths keep the answer per task. */
#ifndef SONDE_LIB_FILTER_BPF_H
#define SONDE_LIB_FILTER_BPF_H

#include "bpf/abi/filter.h"
#include "bpf/lib/compat.bpf.h"

#define FILTER_MAX_CGROUP_DEPTH 32

const volatile u32 filter_kind = SONDE_FILTER_NONE;
const volatile u32 filter_tgid = 0;
const volatile char filter_comm[SONDE_COMM_LEN] = {}; /* padded with zeros */
const volatile u64 filter_cgroup_id = 0;

/* Processes of a traced command: tgid -> 1. Shared with follow.bpf.c. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, u32);
    __type(value, u8);
} follow_targets SEC(".maps");

static __always_inline bool filter__comm_matches(const bool btf, struct task_struct *leader)
{
    char comm[SONDE_COMM_LEN];

    if (!btf)
        bpf_core_read(comm, sizeof(comm), &leader->comm);
#pragma unroll
    for (int i = 0; i < SONDE_COMM_LEN; i++) {
        char c = btf ? leader->comm[i] : comm[i];

        if (c != filter_comm[i])
            return false;
        if (c == 0)
            return true;
    }
    return true;
}

/* Is this cgroup the wanted one, or below it? */
static __always_inline bool filter__cgroup_is_below(const bool btf, struct cgroup *cgroup)
{
    for (int i = 0; i < FILTER_MAX_CGROUP_DEPTH && cgroup; i++) {
        struct kernfs_node *kn = FIELD(btf, cgroup, kn);
        struct cgroup_subsys_state *parent;

        if (FIELD(btf, kn, id) == filter_cgroup_id)
            return true;
        parent = FIELD(btf, cgroup, self.parent);
        cgroup = parent ? FIELD(btf, parent, cgroup) : NULL;
    }
    return false;
}

static __always_inline bool filter__cgroup_matches(const bool btf, struct task_struct *p)
{
    struct css_set *set = FIELD(btf, p, cgroups);

    return filter__cgroup_is_below(btf, FIELD(btf, set, dfl_cgrp));
}

static __always_inline bool filter__matches(const bool btf, struct task_struct *p)
{
    u32 tgid;

    switch (filter_kind) {
    case SONDE_FILTER_NONE:
        return true;
    case SONDE_FILTER_PROCESS:
        return FIELD(btf, p, tgid) == (pid_t)filter_tgid;
    case SONDE_FILTER_COMM:
        return filter__comm_matches(btf, FIELD(btf, p, group_leader));
    case SONDE_FILTER_CGROUP:
        return filter__cgroup_matches(btf, p);
    case SONDE_FILTER_TREE:
        tgid = FIELD(btf, p, tgid);
        return bpf_map_lookup_elem(&follow_targets, &tgid);
    }
    return false;
}

#endif
