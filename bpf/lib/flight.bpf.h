/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The calls that are under way: begun and not ended.
 *
 * Problem: each call puts an entry in and takes it out again, on whichever CPU, and both are paid by the traced process. The
 * kernel's LRU hash map costs some 200 ns of each, with its locks and lists.
 *
 * Idea: a table of buckets of eight. A call is known by who makes it and where its stack frame is, so that no two that are
 * under way are equal, and nobody but its own thread or goroutine, one at a time, looks for it: what is raced for is only a
 * free place. A place belongs to whom has changed its time from what it was to FLIGHT_TAKEN. Where a bucket is full the
 * oldest call is forgotten, as one that ended without a return is in the end.
 *
 * Limits: a bucket is full long before the table is: with 20,000 calls under way one in 100,000 is forgotten.
 */
#ifndef SONDE_LIB_FLIGHT_BPF_H
#define SONDE_LIB_FLIGHT_BPF_H

#include "bpf/lib/common.bpf.h"

#include "bpf/abi/client.h"

#define FLIGHT_FREE 0
#define FLIGHT_TAKEN 1 /* somebody fills it in, or takes it out */
#define FLIGHT_TRIES 3

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE_ARRAY);
    __uint(max_entries, SONDE_CLIENT_BUCKETS);
    __type(key, u32);
    __type(value, struct sonde_client_bucket);
} in_flight SEC(".maps");

static __always_inline u64 flight__whose(const struct sonde_client_activation *key)
{
    return (u64)key->tgid << 32 | key->cookie;
}

static __always_inline struct sonde_client_bucket *flight__bucket(const struct sonde_client_activation *key)
{
    u64 mixed = (key->depth + key->owner * 0x9e3779b97f4a7c15ULL ^ flight__whose(key)) * 0xff51afd7ed558ccdULL;
    u32 at = (mixed ^ mixed >> 32) & (SONDE_CLIENT_BUCKETS - 1);

    return bpf_map_lookup_elem(&in_flight, &at);
}

static __always_inline u64 flight__time(struct sonde_client_bucket *bucket, u32 i)
{
    return *(volatile u64 *)&bucket->at_ns[i];
}

static __always_inline bool flight__is(struct sonde_client_bucket *bucket, u32 i,
                                       const struct sonde_client_activation *key)
{
    return bucket->depth[i] == key->depth && bucket->owner[i] == key->owner &&
           bucket->whose[i] == flight__whose(key);
}

/* Overwrites an entry of the same key: a call that ended without a return. False if others were faster for all places. */
static __always_inline bool flight__put(const struct sonde_client_activation *key, u64 now, u32 series)
{
    struct sonde_client_bucket *bucket = flight__bucket(key);
    u64 had, oldest = 0;
    u32 at = 0;

    if (!bucket)
        return false;
    for (int try = 0; try < FLIGHT_TRIES; try++) {
        oldest = ~0ULL;
        for (u32 i = 0; i < SONDE_CLIENT_WAYS; i++) {
            had = flight__time(bucket, i);
            if (had > FLIGHT_TAKEN && flight__is(bucket, i, key)) {
                oldest = had;
                at = i;
                break;
            }
            if (had < oldest && had != FLIGHT_TAKEN) {
                oldest = had;
                at = i;
            }
        }
        at &= SONDE_CLIENT_WAYS - 1;
        if (__sync_val_compare_and_swap(&bucket->at_ns[at], oldest, FLIGHT_TAKEN) != oldest)
            continue;
        bucket->depth[at] = key->depth;
        bucket->owner[at] = key->owner;
        bucket->whose[at] = flight__whose(key);
        bucket->series[at] = series;
        __sync_lock_test_and_set(&bucket->at_ns[at], now); /* a full barrier */
        return true;
    }
    return false;
}

/* When the call began; 0 if that is not known. */
static __always_inline u64 flight__take(const struct sonde_client_activation *key, u32 *series)
{
    struct sonde_client_bucket *bucket = flight__bucket(key);
    u64 began;

    if (!bucket)
        return 0;
    for (u32 i = 0; i < SONDE_CLIENT_WAYS; i++) {
        began = flight__time(bucket, i);
        if (began <= FLIGHT_TAKEN || !flight__is(bucket, i, key))
            continue;
        if (__sync_val_compare_and_swap(&bucket->at_ns[i], began, FLIGHT_TAKEN) != began)
            return 0; /* forgotten at this moment */
        /* Where loads may be reordered, it could have been another's. */
        if (!flight__is(bucket, i, key)) {
            __sync_lock_test_and_set(&bucket->at_ns[i], began);
            continue;
        }
        *series = bucket->series[i];
        __sync_lock_test_and_set(&bucket->at_ns[i], FLIGHT_FREE);
        return began;
    }
    return 0;
}

#endif
