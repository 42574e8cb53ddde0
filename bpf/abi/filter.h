/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which tasks a session is about. Chosen by user space before load; constant while the programs run. */
#ifndef SONDE_ABI_FILTER_H
#define SONDE_ABI_FILTER_H

#define SONDE_COMM_LEN 16

enum sonde_filter_kind {
    SONDE_FILTER_NONE,    /* every task */
    SONDE_FILTER_PROCESS, /* one process, by the pid of its thread group leader */
    SONDE_FILTER_COMM,    /* processes whose leader has this name */
    SONDE_FILTER_CGROUP,  /* tasks in a cgroup v2 or below it, by the cgroup's id */
    SONDE_FILTER_TREE,    /* the processes listed in map `follow_targets`, kept by follow.bpf.c */
};

#endif
