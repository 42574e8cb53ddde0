// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Programs that do nothing, on the hooks that sonde's probes use: what they cost is what the kernel charges for
 * calling a program at all, the least that any tracer on these hooks can cost.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sched_wakeup")
int empty_wakeup(void *ctx)
{
    return 0;
}

SEC("tp_btf/sched_wakeup_new")
int empty_wakeup_new(void *ctx)
{
    return 0;
}

SEC("tp_btf/sched_switch")
int empty_switch(void *ctx)
{
    return 0;
}

SEC("tp_btf/block_rq_issue")
int empty_issue(void *ctx)
{
    return 0;
}

SEC("tp_btf/block_rq_complete")
int empty_complete(void *ctx)
{
    return 0;
}

SEC("tp_btf/tcp_probe")
int empty_tcp_probe(void *ctx)
{
    return 0;
}
