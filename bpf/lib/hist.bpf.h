/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Recording into the histograms of bpf/abi/hist.h.
 *
 * Each object has its own pool of chunks. A chunk is taken when a series sees its first value in an octave,
 * and belongs to that series from then on; user space returns the chunks of dead processes through
 * hist_free. When the pool is empty, the value goes to the caller's fallback row, whose chunks user space
 * has set up before: detail is lost, the count is not.
 *
 * `shared` rows are written by several CPUs and use atomic adds; rows that only one CPU writes do not. (Since 6.1
 * the kernel does not run a tracing program on top of itself on one CPU, and counts such events as missed; before, an
 * interrupt in the middle of an add may cost a count.)
 */
#ifndef SONDE_LIB_HIST_BPF_H
#define SONDE_LIB_HIST_BPF_H

#include "bpf/lib/common.bpf.h"

#include "bpf/abi/hist.h"

#define HIST_EXTREME_TRIES 4

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE_ARRAY);
    __uint(max_entries, 1); /* set by user space */
    __type(key, u32);
    __type(value, struct sonde_hist_chunk);
} hist_chunks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1); /* set by user space */
    __type(value, u32);
} hist_free SEC(".maps");

const volatile u32 hist_nr_chunks = 1;
/* The next chunk never used before; user space puts it behind the chunks of the fallback rows. */
u32 hist_cursor = 1;

static __noinline u32 hist__new_chunk(void)
{
    u32 n;

    if (hist_cursor < hist_nr_chunks) {
        n = __sync_fetch_and_add(&hist_cursor, 1);
        if (n < hist_nr_chunks)
            return n;
    }
    if (bpf_map_pop_elem(&hist_free, &n) == 0)
        return n;
    return SONDE_HIST_NO_CHUNK;
}

static __noinline u32 hist__grow(struct sonde_hist_row *row, u32 at)
{
    u32 mine, theirs;

    if (at >= SONDE_HIST_CHUNKS)
        return SONDE_HIST_NO_CHUNK;
    mine = hist__new_chunk();
    if (mine == SONDE_HIST_NO_CHUNK)
        return SONDE_HIST_NO_CHUNK;
    theirs = __sync_val_compare_and_swap(&row->chunk[at], SONDE_HIST_NO_CHUNK, mine);
    if (theirs == SONDE_HIST_NO_CHUNK)
        return mine;
    bpf_map_push_elem(&hist_free, &mine, 0);
    return theirs;
}

static __always_inline void hist__add(const bool shared, u64 *counter, u64 n)
{
    if (shared)
        __sync_fetch_and_add(counter, n);
    else
        *counter += n;
}

static __noinline void hist__raise_shared(u64 *extreme, u64 value)
{
    for (int i = 0; i < HIST_EXTREME_TRIES; i++) {
        u64 old = *extreme;

        if (value <= old || __sync_val_compare_and_swap(extreme, old, value) == old)
            return;
    }
}

static __always_inline void hist__raise(const bool shared, u64 *extreme, u64 value)
{
    if (value <= *extreme)
        return;
    if (shared)
        hist__raise_shared(extreme, value);
    else
        *extreme = value;
}

/* False when no chunk could be had; nothing has been recorded then. */
static __always_inline bool hist__record_into(const bool shared, struct sonde_hist_row *row, u64 ns)
{
    struct sonde_hist_chunk *chunk;
    u32 cell = sonde_hist__cell(ns);
    u32 at = sonde_hist__chunk_at(cell / SONDE_HIST_SUB_BUCKETS);
    u32 n;

    BOUND_INDEX(at, SONDE_HIST_CHUNKS);
    n = row->chunk[at];
    if (n == SONDE_HIST_NO_CHUNK) {
        n = hist__grow(row, at);
        if (n == SONDE_HIST_NO_CHUNK)
            return false;
    }
    chunk = bpf_map_lookup_elem(&hist_chunks, &n);
    if (!chunk)
        return false;
    hist__add(shared, &chunk->bucket[cell % SONDE_HIST_SUB_BUCKETS], 1);
    hist__add(shared, &row->sum_ns, ns);
    hist__raise(shared, &row->max_ns, ns);
    hist__raise(shared, &row->min_inverted, ~ns);
    return true;
}

/*
 * Global functions: the verifier looks at each once, not at every call. Inlined, the branches of the bit
 * scan multiply with those of the caller (350,000 instructions to verify sched_switch; now some thousands).
 */
__noinline int hist__record_shared(struct sonde_hist_row *row, u64 ns)
{
    return row ? hist__record_into(true, row, ns) : true;
}

__noinline int hist__record_local(struct sonde_hist_row *row, u64 ns)
{
    return row ? hist__record_into(false, row, ns) : true;
}

#endif
