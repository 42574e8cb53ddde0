/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What client.bpf.c and its reader in user space share. */
#ifndef SONDE_ABI_CLIENT_H
#define SONDE_ABI_CLIENT_H

#include "bpf/abi/hist.h"

/* Functions of processes that are traced at a time. */
#define SONDE_CLIENT_CALLS 1024
/* Calls that are under way at a time, of all functions. Beyond, the oldest are forgotten. */
#define SONDE_CLIENT_IN_FLIGHT 65536

enum sonde_client_drop {
    SONDE_CLIENT_DROP_BEGAN_BEFORE, /* an end without a beginning: from before tracing, or forgotten */
    SONDE_CLIENT_DROP_NO_ROOM,      /* a beginning that could not be kept */
    SONDE_CLIENT_DROP_NO_GOROUTINE, /* the register that should hold the goroutine leads nowhere */
    SONDE_CLIENT_DROP_CLOCK_BACKWARD,
    SONDE_CLIENT_DROPS,
};

/* The cookie of a probe: the index of its call, and how often the probes of its process have been put in place anew,
 * so that a call which began before that is not taken for one that ends after it. */
#define SONDE_CLIENT_COOKIE(call, generation) ((__u32)(generation) << 16 | (call))
#define SONDE_CLIENT_CALL_OF(cookie) ((cookie) & 0xffff)

/* One function of one process. */
struct sonde_client_call {
    struct sonde_hist_row row;
    __u64 begun;
    __u64 ended; /* with or without a beginning */
    __u64 drops[SONDE_CLIENT_DROPS];
    __u32 tgid; /* set by user space before the first event */
    __u32 pad[3];
};

/* A call that is under way. */
struct sonde_client_activation {
    __u64 owner;  /* the goroutine, or 0 */
    __u64 depth;  /* where its stack frame is: see client.bpf.c */
    __u32 cookie; /* of the probe at its beginning, and of that at its end */
    __u32 tgid;
};

struct sonde_client_counters {
    __u64 chunks_full;
};

#ifdef __cplusplus
static_assert(sizeof(sonde_client_call) % 64 == 0 && sizeof(sonde_client_activation) == 24);
#endif

#endif
