/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What block.bpf.c and its reader in user space share. */
#ifndef SONDE_ABI_BLOCK_H
#define SONDE_ABI_BLOCK_H

#include "bpf/abi/hist.h"

enum sonde_block_op {
    SONDE_BLOCK_READ,
    SONDE_BLOCK_WRITE,
    SONDE_BLOCK_FLUSH,
    SONDE_BLOCK_DISCARD, /* discard, secure erase, write zeroes */
    SONDE_BLOCK_OTHER,   /* zone management, driver-private commands */
    SONDE_BLOCK_OPS,
};

enum sonde_block_stage {
    SONDE_BLOCK_TOTAL,  /* from when the kernel began to account the request to its completion */
    SONDE_BLOCK_QUEUE,  /* from then to the (last) hand-over to the driver */
    SONDE_BLOCK_DEVICE, /* from there to the completion */
    SONDE_BLOCK_STAGES,
};

enum sonde_block_drop {
    SONDE_BLOCK_DROP_NOT_ISSUED_HERE, /* issued before tracing began: total is known, queue and device are not */
    SONDE_BLOCK_DROP_STAMP_LOST,      /* two requests in flight shared an entry: likewise. When the younger one
                                         completes first, the older is counted as NOT_ISSUED_HERE */
    SONDE_BLOCK_DROP_NO_START,        /* the kernel did not account it: device is known, total and queue are not */
    SONDE_BLOCK_DROP_CLOCK_BACKWARD,
    SONDE_BLOCK_DROPS,
};

/* Devices that get rows of their own; slot 0 is for all further ones. */
#define SONDE_BLOCK_DEVICES 32
#define SONDE_BLOCK_OTHER_DEVICE 0

struct sonde_block_device {
    __u32 major;
    __u32 minor;
};

struct sonde_block_series {
    struct sonde_hist_row stage[SONDE_BLOCK_STAGES];
    __u64 bytes;
    __u64 errors;
    __u64 pad[6]; /* rows begin on a cache line */
};

/* One per CPU and device: index cpu * SONDE_BLOCK_DEVICES + slot; only that CPU writes it. One more behind them
 * takes, from all CPUs, what found no chunk. */
struct sonde_block_rows {
    struct sonde_block_series op[SONDE_BLOCK_OPS];
};

struct sonde_block_counters {
    __u64 drops[SONDE_BLOCK_DROPS];
    __u64 devices_full;
    __u64 chunks_full;
};

#ifdef __cplusplus
static_assert(sizeof(sonde_block_series) % 8 == 0 && sizeof(sonde_block_counters) % 8 == 0);
#endif

#endif
