// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Programs that do nothing, on the hooks that sonde's probes use: what they cost is what the kernel charges for
 * calling a program at all, the least that any tracer on these hooks can cost. With read_clock they read the clock
 * once: the least that a measurement of time costs.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

const volatile bool read_clock = false;

static __always_inline int do_nothing(void)
{
    if (read_clock)
        bpf_ktime_get_ns();
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sched_wakeup")
int empty_wakeup(void *ctx)
{
    return do_nothing();
}

SEC("tp_btf/sched_wakeup_new")
int empty_wakeup_new(void *ctx)
{
    return do_nothing();
}

SEC("tp_btf/sched_switch")
int empty_switch(void *ctx)
{
    return do_nothing();
}

SEC("tp_btf/block_rq_issue")
int empty_issue(void *ctx)
{
    return do_nothing();
}

SEC("tp_btf/block_rq_complete")
int empty_complete(void *ctx)
{
    return do_nothing();
}

SEC("tp_btf/tcp_probe")
int empty_tcp_probe(void *ctx)
{
    return do_nothing();
}

SEC("uprobe")
int empty_call_begin(void *ctx)
{
    return do_nothing();
}

SEC("uprobe")
int empty_call_end(void *ctx)
{
    return do_nothing();
}

SEC("uretprobe")
int empty_call_returned(void *ctx)
{
    return do_nothing();
}
