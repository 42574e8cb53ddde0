/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What client.bpf.c and its reader in user space share. */
#ifndef SONDE_ABI_CLIENT_H
#define SONDE_ABI_CLIENT_H

#include "bpf/abi/hist.h"

/* Distributions: one for each call, of all processes of a name. */
#define SONDE_CLIENT_SERIES 1024
/* Functions of processes that are traced at a time. */
#define SONDE_CLIENT_FUNCTIONS 8192
/* Places for calls that are under way, of all functions; powers of two. */
#define SONDE_CLIENT_BUCKETS 16384
#define SONDE_CLIENT_WAYS 8
/* Texts that have a distribution of their own. */
#define SONDE_CLIENT_TEXTS 1024
#define SONDE_CLIENT_TEXT_BYTES 44

enum sonde_client_drop {
    SONDE_CLIENT_DROP_BEGAN_BEFORE, /* an end without a beginning: from before tracing, or forgotten */
    SONDE_CLIENT_DROP_NO_ROOM,      /* a beginning that could not be kept */
    SONDE_CLIENT_DROP_NO_GOROUTINE, /* the register that should hold the goroutine leads nowhere */
    SONDE_CLIENT_DROP_CLOCK_BACKWARD,
    SONDE_CLIENT_DROPS,
};

/* The cookie of a probe: the index of its function, and a number that changes when the probes of a process are put in
 * place anew and when the index is given to another, so that a call which began before that is not taken for one that
 * ends after it. */
#define SONDE_CLIENT_COOKIE(function, generation) ((__u32)(generation) << 16 | (function))
#define SONDE_CLIENT_FUNCTION_OF(cookie) ((cookie) & 0xffff)
#define SONDE_CLIENT_GENERATION_OF(cookie) ((__u32)(cookie) >> 16)

/* The calls of one thread do not overlap, and their two ends are in different functions: the thread is the key. */
#define SONDE_CLIENT_BY_THREAD 1

/* One function of one process. Set by user space before its first event, but for the counts. */
struct sonde_client_function {
    __u64 begun;
    __u64 ended; /* with or without a beginning */
    __u64 drops[SONDE_CLIENT_DROPS];
    __u32 tgid;
    __u32 series; /* of calls whose text is not known, or that have none */
    __u16 flags;
    __u16 argument; /* the first is 1: leads to a struct with a Go string that tells calls apart; 0: there is none */
    __u16 text_at;  /* where in the struct */
    __u16 generation; /* of the cookies that are counted: see above */
};

/* A call that is under way. */
struct sonde_client_activation {
    __u64 owner;  /* the goroutine, the thread, or 0 */
    __u64 depth;  /* where its stack frame is: see client.bpf.c */
    __u32 cookie; /* of the probe at its beginning, and of that at its end */
    __u32 tgid;
};

/* Up to eight of them. */
struct sonde_client_bucket {
    __u64 at_ns[SONDE_CLIENT_WAYS]; /* when it began, CLOCK_MONOTONIC; 0 and 1: there is none */
    __u64 depth[SONDE_CLIENT_WAYS];
    __u64 owner[SONDE_CLIENT_WAYS];
    __u64 whose[SONDE_CLIENT_WAYS]; /* tgid and cookie */
    __u32 series[SONDE_CLIENT_WAYS];
};

/* A text that calls of a series are told apart by. */
struct sonde_client_text {
    __u32 series; /* as their function has it */
    char text[SONDE_CLIENT_TEXT_BYTES]; /* zeros behind it */
};

struct sonde_client_counters {
    __u64 chunks_full;
    __u64 stopped; /* set by user space: no more events are counted, though the probes are still there */
};

#ifdef __cplusplus
static_assert(sizeof(sonde_client_function) == 64 && sizeof(sonde_client_activation) == 24);
static_assert(sizeof(sonde_client_bucket) == 288 && sizeof(sonde_client_text) == 48);
static_assert(SONDE_CLIENT_FUNCTIONS <= SONDE_CLIENT_FUNCTION_OF(~0U));
#endif

#endif
