/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What every BPF program of sonde begins with. */
#ifndef SONDE_LIB_COMMON_BPF_H
#define SONDE_LIB_COMMON_BPF_H

#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/*
 * Programs come in twins with one body: tp_btf, whose arguments are typed kernel pointers that may be
 * dereferenced directly, and raw_tp for kernels without BTF, where each read is a bpf_probe_read_kernel.
 * The body takes a constant `btf` and reads through FIELD; the unused branch is compiled away.
 */
#define FIELD(btf, ptr, field) ((btf) ? (ptr)->field : BPF_CORE_READ(ptr, field))

#ifndef BPF_F_NO_PREALLOC
#define BPF_F_NO_PREALLOC (1U << 0)
#endif
#define BPF_F_MMAPABLE_ARRAY (1U << 10)

/*
 * Where the time is read. Reading the clock waits for all loads that are under way (rdtsc_ordered has a fence), and
 * those of a tracer miss the caches. So bpf_ktime_get_ns comes before them where most events are recorded, and behind
 * the check where a filter leaves few of very many (sched).
 */

/* Makes an index that is in range known to be so, for the verifier: a compare in C may be made on a copy in another
 * register, and kernels of the age of 6.1 lose the connection. An index out of range becomes 0. */
#define BOUND_INDEX(i, n) asm volatile("if %0 < %1 goto +1\n %0 = 0" : "+r"(i) : "i"(n))

/* The lower 32 bits of a typed pointer, as a number. The verifier allows no arithmetic with such a pointer, but this
 * copy; clang would make it with shifts. */
#define LOWER_HALF(pointer)                                                                    \
    ({                                                                                         \
        u32 half__;                                                                            \
        asm volatile("%0 = %1" : "=w"(half__) : "w"((u32)(u64)(pointer)));                     \
        half__;                                                                                \
    })

#define PF_MEMALLOC 0x00000800
#define PF_KTHREAD 0x00200000
#define TASK_UNINTERRUPTIBLE 0x0002
#define TASK_DEAD 0x0080
#define MAX_RT_PRIO 100

#endif
