/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The histogram encoding, shared by the BPF programs and user space.
 *
 * Problem: a latency must be put into the exponential buckets of Prometheus native histograms and OTLP,
 * schema 4: bucket i holds (2^((i-1)/16), 2^(i/16)] SECONDS. BPF has nanoseconds, no floating point,
 * and a few nanoseconds of time.
 *
 * Idea: 16 * log2(10^9) = 478.3576..., so counted in nanoseconds the bounds lie, in every octave alike,
 * at the mantissas 2^((j + f) / 16), j = 0..15, with f = 0.35765... A bit scan finds the octave; the
 * top five mantissa bits select one of 32 parts; a part is narrower (1/32) than the narrowest bucket
 * (2^(1/16) - 1 = 0.044), so it contains at most one bound: a table gives the bucket of the part's lower
 * edge, and one compare against the part's bound settles the rest. It is made on the whole
 * normalised value, so it is exact.
 *
 * A value's "cell" is 16 * octave + j; the exported bucket index is cell - 478. Because j may
 * be 16, which is j = 0 of the next octave, no special case is needed at octave boundaries.
 *
 * Storage: a row per series holds sum, min, max and, per octave, the number of a chunk with that octave's
 * 16 counters. Chunks come from a common pool on first use: a distribution covers a few octaves of the 41,
 * so a series costs some hundred bytes rather than 5 KiB. A row's first cache line holds all that a value of 1 us
 * to 1 ms needs of it: when the caches are cold, and in a tracer they are, a line costs as much as all arithmetic here.
 *
 * Limits: 1 ns to 2^(177/16) s (2,138.7 s). Zero, and what is larger than that, have a cell each behind the octaves.
 * Counters are 64 bits wide and only grow.
 *
 * Sources: OpenTelemetry data model, "Exponential Scale"; Prometheus native histogram specification.
 */
#ifndef SONDE_ABI_HIST_H
#define SONDE_ABI_HIST_H

#ifdef __bpf__
#include "vmlinux.h"
#else
#include <linux/types.h>
#endif

#define SONDE_HIST_SCHEMA 4
#define SONDE_HIST_SUB_BUCKETS 16
#define SONDE_HIST_OCTAVES 41
#define SONDE_HIST_CELLS (SONDE_HIST_OCTAVES * SONDE_HIST_SUB_BUCKETS)
/* Cells that are no buckets; their chunk is one more than there are octaves. */
#define SONDE_HIST_CELL_ZERO SONDE_HIST_CELLS
#define SONDE_HIST_CELL_ABOVE (SONDE_HIST_CELLS + 1)
#define SONDE_HIST_CHUNKS (SONDE_HIST_OCTAVES + 1)
/* floor(16 * log2(10^9)): cell index minus this is the exported bucket index. */
#define SONDE_HIST_INDEX_OFFSET 478

/* Chunk number 0 is never handed out: it means "no chunk yet". */
#define SONDE_HIST_NO_CHUNK 0

struct sonde_hist_chunk {
    __u64 bucket[SONDE_HIST_SUB_BUCKETS];
};

struct sonde_hist_row {
    __u64 sum_ns;
    __u64 max_ns;
    __u64 min_inverted; /* ~min_ns: all-zero memory then means "no value yet" */
    __u32 chunk[SONDE_HIST_CHUNKS]; /* of the octave sonde_hist__octave_at(i) */
} __attribute__((aligned(64)));

#ifdef __cplusplus
static_assert(sizeof(sonde_hist_row) == 192 && alignof(sonde_hist_row) == 64 && sizeof(sonde_hist_chunk) == 128);
#endif

/* The octave whose chunk comes first in a row: 2^10 ns. Those below it, and the chunk of the special cells, come last. */
#define SONDE_HIST_FIRST_OCTAVE 10

static inline __attribute__((always_inline)) __u32 sonde_hist__chunk_at(__u32 octave)
{
    __s32 at = (__s32)(octave - SONDE_HIST_FIRST_OCTAVE);
    __s32 wraps = at >> 31; /* all ones or all zeroes */

    asm volatile("" : "+r"(wraps)); /* clang would make a branch of it */
    return (__u32)at + ((__u32)wraps & SONDE_HIST_CHUNKS);
}

static inline __attribute__((always_inline)) __u32 sonde_hist__octave_at(__u32 chunk)
{
    return (chunk + SONDE_HIST_FIRST_OCTAVE) % SONDE_HIST_CHUNKS;
}

/*
 * Per part of the mantissa (its top five bits behind the leading one): the next bound, as a multiple of 2^-63, and
 * in its low five bits how many of the bounds lie below the part. A mantissa has no bits there, nor in the 18 above
 * them, as values end at 2^41: so the compare is as exact as with all bits of the bound. The bound 0xee6b28... is 1 s.
 */
#define SONDE_HIST_NEXT_BOUND                                                                  \
    {                                                                                          \
        0x81ffa7a9549ca6e0ULL, 0x87c11235836d16a1ULL, 0x8dc3b8960164a7c2ULL,                   \
        0x8dc3b8960164a7c2ULL, 0x940a7e28259fb383ULL, 0x940a7e28259fb383ULL,                   \
        0x9a9867054d512384ULL, 0xa1709975dfb06745ULL, 0xa1709975dfb06745ULL,                   \
        0xa8965f74bf065066ULL, 0xa8965f74bf065066ULL, 0xb00d2843e1060dc7ULL,                   \
        0xb00d2843e1060dc7ULL, 0xb7d88a12d0dd9ea8ULL, 0xbffc43b7e604a929ULL,                   \
        0xbffc43b7e604a929ULL, 0xc87c3e7d03cdbecaULL, 0xc87c3e7d03cdbecaULL,                   \
        0xc87c3e7d03cdbecaULL, 0xd15c9000bf211c0bULL, 0xd15c9000bf211c0bULL,                   \
        0xdaa17c2cd19555ccULL, 0xdaa17c2cd19555ccULL, 0xe44f7742cb56e3cdULL,                   \
        0xe44f7742cb56e3cdULL, 0xe44f7742cb56e3cdULL, 0xee6b28000000000eULL,                   \
        0xee6b28000000000eULL, 0xf8f969d9b5abf94fULL, 0xf8f969d9b5abf94fULL,                   \
        0xf8f969d9b5abf94fULL, 0xfffffffffffffff0ULL,                                          \
    }
#define SONDE_HIST_BELOW_MASK 31

/* log2 of a power of two, found at its product with a de Bruijn sequence: the top six bits of the product are
 * different for each power. */
#define SONDE_HIST_DE_BRUIJN 0x03f79d71b4cb0a89ULL
#define SONDE_HIST_DE_BRUIJN_LOG2                                                              \
    {                                                                                          \
        0, 1, 48, 2, 57, 49, 28, 3, 61, 58, 50, 42, 38, 29, 17, 4,                             \
        62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,                         \
        63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11,                        \
        46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9, 13, 8, 7, 6,                            \
    }

/* Both tables lie side by side, on as few cache lines as can be. In BPF they are global: libbpf cannot place static
 * data in .rodata. */
#ifdef __bpf__
#define SONDE_HIST_TABLE const
#else
#define SONDE_HIST_TABLE static const
#endif
SONDE_HIST_TABLE struct {
    __u8 log2[64];
    __u64 next_bound[32];
} sonde_hist_tables __attribute__((aligned(64))) = {SONDE_HIST_DE_BRUIJN_LOG2, SONDE_HIST_NEXT_BOUND};

/* floor(log2(v)); v must not be 0. BPF has no bit scan; a search by halves would cost a branch per half that
 * nobody can predict. */
static inline __attribute__((always_inline)) __u32 sonde_hist__log2(__u64 v)
{
    v |= v >> 1;
    v |= v >> 2;
    v |= v >> 4;
    v |= v >> 8;
    v |= v >> 16;
    v |= v >> 32;
    v ^= v >> 1; /* only the top bit is left */
    return sonde_hist_tables.log2[(v * SONDE_HIST_DE_BRUIJN) >> 58];
}

/* Cell of a value that is not 0; SONDE_HIST_CELLS or more for one above the range. `mantissa > bound` is made by
 * subtraction: BPF can compare only by a branch, and nobody can predict this one. */
static inline __attribute__((always_inline)) __u32 sonde_hist__bucket_cell(__u64 ns)
{
    __u32 octave = sonde_hist__log2(ns);
    __u64 mantissa = ns << (63 - octave);
    __u64 bound = sonde_hist_tables.next_bound[(mantissa >> 58) & 31];

    return octave * SONDE_HIST_SUB_BUCKETS + (bound & SONDE_HIST_BELOW_MASK) + ((bound - mantissa) >> 63);
}

/* Cell of a value in ns. */
static inline __attribute__((always_inline)) __u32 sonde_hist__cell(__u64 ns)
{
    __u32 cell = ns ? sonde_hist__bucket_cell(ns) : SONDE_HIST_CELL_ZERO;

    return ns && cell >= SONDE_HIST_CELLS ? SONDE_HIST_CELL_ABOVE : cell;
}

#endif
