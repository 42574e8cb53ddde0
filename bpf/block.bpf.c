// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Block I/O: latency of every request, per device, operation and stage.
 *
 * Problem: the end of a request is one event, block_rq_complete, but its beginning and its hand-over to the
 * driver are others, and a hash keyed by request costs more than the I/O stack's own bookkeeping.
 *
 * Idea: the kernel keeps the time of allocation in the request (start_time_ns), so `total` needs no event
 * but the last. The time of issue is kept by the kernel only for queues with statistics (QUEUE_FLAG_STATS), so
 * block_rq_issue notes it, in a table indexed by queue, hardware queue and tag: a tag belongs to one request
 * at a time, so this is a hash with next to no collisions and without a lock. An entry names its request; where
 * two requests in flight share an entry, the older loses its stages and is counted.
 *
 * A request is done when a completion covers all bytes that are left of it (block_rq_complete also fires
 * for parts). Flushes: a write that asks for a flush is turned by the kernel into a REQ_OP_FLUSH request and,
 * if it has data, the write itself; its own end then fires once more, with no bytes. Flushes are counted by
 * the former, writes with no bytes are not counted.
 *
 * Limits: since 6.9 start_time_ns may be the time at which the submitter began to plug, so it may be early by
 * the time in which a batch of requests was prepared. Devices without requests (device mapper, md, zram) do
 * not show; those below them do.
 */
#include "bpf/abi/block.h"
#include "bpf/lib/filter.bpf.h"
#include "bpf/lib/hist.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define REQ_OP_MASK 0xff
#define STAMP_BITS 16
#define FIBONACCI_HASH 0x9e3779b97f4a7c15ULL

struct stamp {
    u64 request;
    u64 issue_ns;
    u64 wanted; /* the filter wants the task that submitted it; read only when there is a filter */
};

const volatile u32 nr_cpus = 1;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1 << STAMP_BITS);
    __type(key, u32);
    __type(value, struct stamp);
} stamps SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE_ARRAY);
    __uint(max_entries, 1); /* set by user space */
    __type(key, u32);
    __type(value, struct sonde_block_rows);
} rows SEC(".maps");

/* Major << 32 | minor -> slot. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SONDE_BLOCK_DEVICES);
    __type(key, u64);
    __type(value, u32);
} slot_of_device SEC(".maps");

struct sonde_block_counters counters = {};
struct sonde_block_device devices[SONDE_BLOCK_DEVICES] = {};
u32 devices_used = 1; /* slot 0 is taken */
u8 slot_of_queue[SONDE_BLOCK_QUEUE_IDS] = {};

static __always_inline void block__count(u64 *counter) { __sync_fetch_and_add(counter, 1); }

static __always_inline struct stamp *block__stamp(const bool btf, struct request *rq, struct request_queue *q)
{
    struct blk_mq_hw_ctx *hctx = FIELD(btf, rq, mq_hctx);
    /* With an I/O scheduler the internal tag lasts from allocation to completion; without, it is -1. */
    u32 internal_tag = FIELD(btf, rq, internal_tag);
    u32 tag = internal_tag == (u32)-1 ? (u32)FIELD(btf, rq, tag) : internal_tag;
    u64 id = ((u64)FIELD(btf, q, id) << 40) + ((u64)FIELD(btf, hctx, queue_num) << 20) + tag;
    u32 index = (id * FIBONACCI_HASH) >> (64 - STAMP_BITS);

    return bpf_map_lookup_elem(&stamps, &index);
}

static __always_inline enum sonde_block_op block__op(u32 cmd_flags)
{
    switch (cmd_flags & REQ_OP_MASK) {
    case REQ_OP_READ:
        return SONDE_BLOCK_READ;
    case REQ_OP_WRITE:
        return SONDE_BLOCK_WRITE;
    case REQ_OP_FLUSH:
        return SONDE_BLOCK_FLUSH;
    case REQ_OP_DISCARD:
    case REQ_OP_SECURE_ERASE:
    case REQ_OP_WRITE_ZEROES:
        return SONDE_BLOCK_DISCARD;
    }
    return SONDE_BLOCK_OTHER;
}

/* A device seen for the first time, or another device on a queue id that was free again. */
__noinline u32 block__new_slot(u32 queue_id, u32 major, u32 minor)
{
    u64 number = (u64)major << 32 | minor;
    u32 *known = bpf_map_lookup_elem(&slot_of_device, &number);
    u32 slot;

    if (known) {
        slot = *known & (SONDE_BLOCK_DEVICES - 1);
    } else {
        slot = __sync_fetch_and_add(&devices_used, 1);
        if (slot >= SONDE_BLOCK_DEVICES) {
            __sync_fetch_and_sub(&devices_used, 1);
            block__count(&counters.devices_full);
            return SONDE_BLOCK_OTHER_DEVICE;
        }
        devices[slot].major = major;
        devices[slot].minor = minor;
        bpf_map_update_elem(&slot_of_device, &number, &slot, BPF_ANY);
    }
    if (queue_id < SONDE_BLOCK_QUEUE_IDS)
        slot_of_queue[queue_id] = slot;
    return slot;
}

static __always_inline u32 block__slot(u32 queue_id, u32 major, u32 minor)
{
    u32 slot = SONDE_BLOCK_OTHER_DEVICE;

    if (queue_id < SONDE_BLOCK_QUEUE_IDS)
        slot = slot_of_queue[queue_id] & (SONDE_BLOCK_DEVICES - 1);
    if (slot != SONDE_BLOCK_OTHER_DEVICE && devices[slot].major == major && devices[slot].minor == minor)
        return slot;
    return block__new_slot(queue_id, major, minor);
}

/* No chunk was free: the entry behind those of all CPUs has its chunks already, and is shared. */
static __noinline void block__record_other(u32 op, u32 stage, u64 ns)
{
    u32 index = nr_cpus * SONDE_BLOCK_DEVICES;
    struct sonde_block_rows *r = bpf_map_lookup_elem(&rows, &index);

    block__count(&counters.chunks_full);
    if (r && op < SONDE_BLOCK_OPS && stage < SONDE_BLOCK_STAGES)
        hist__record_shared(&r->op[op].stage[stage], ns);
}

static __always_inline void block__record(struct sonde_block_series *series, u32 op,
                                          enum sonde_block_stage stage, u64 from, u64 to)
{
    if (to < from) {
        block__count(&counters.drops[SONDE_BLOCK_DROP_CLOCK_BACKWARD]);
        return;
    }
    if (!hist__record_local(&series->stage[stage], to - from))
        block__record_other(op, stage, to - from);
}

static __always_inline bool block__is_flush_sequence(u32 cmd_flags)
{
    u32 preflush = 1U << bpf_core_enum_value(enum req_flag_bits, __REQ_PREFLUSH);

    if (filter_kind == SONDE_FILTER_NONE)
        return false;
    return (cmd_flags & REQ_OP_MASK) == REQ_OP_FLUSH || (cmd_flags & preflush);
}

static __always_inline int block__issue(const bool btf, struct request *rq, struct task_struct *issuer)
{
    struct stamp *stamp = block__stamp(btf, rq, FIELD(btf, rq, q));

    if (!stamp)
        return 0;
    if (stamp->request != (u64)rq) {
        stamp->request = (u64)rq;
        /* A flush, and a write that follows one, are issued by a kernel worker; they bear the tag of the request
         * that was submitted, whose mark is still here. */
        if (!block__is_flush_sequence(FIELD(btf, rq, cmd_flags)))
            stamp->wanted = filter__matches(btf, issuer);
    }
    stamp->issue_ns = bpf_ktime_get_ns();
    return 0;
}

/* Only with a filter: runs in the submitter, which at the time of issue may be a kernel worker. */
static __always_inline int block__start(const bool btf, struct request *rq, struct task_struct *submitter)
{
    struct stamp *stamp = block__stamp(btf, rq, FIELD(btf, rq, q));

    if (!stamp)
        return 0;
    stamp->request = (u64)rq;
    stamp->issue_ns = 0;
    stamp->wanted = filter__matches(btf, submitter);
    return 0;
}

static __always_inline void block__stages(struct sonde_block_series *series, u32 op, u64 start, u64 issue, u64 now)
{
    if (start)
        block__record(series, op, SONDE_BLOCK_TOTAL, start, now);
    else if (issue)
        block__record(series, op, SONDE_BLOCK_TOTAL, issue, now);
    else
        block__count(&counters.drops[SONDE_BLOCK_DROP_NO_START]);
    if (!issue)
        return;
    /* A start that was taken from another clock reading may lie a little behind: then nothing was queued. */
    if (start)
        block__record(series, op, SONDE_BLOCK_QUEUE, start < issue ? start : issue, issue);
    block__record(series, op, SONDE_BLOCK_DEVICE, issue, now);
}

static __always_inline int block__complete(const bool btf, struct request *rq, u32 error, u32 nr_bytes)
{
    /* All fields are read here, before the first branch: checking a typed pointer takes the verifier
     * milliseconds, and behind a branch it would be checked once per path. */
    struct request_queue *q = FIELD(btf, rq, q);
    struct gendisk *disk = request__disk(btf, rq, q);
    struct stamp *stamp = block__stamp(btf, rq, q);
    u32 major = FIELD(btf, disk, major);
    u32 minor = FIELD(btf, disk, first_minor);
    u32 queue_id = FIELD(btf, q, id);
    u32 bytes_left = FIELD(btf, rq, __data_len);
    u64 start = FIELD(btf, rq, start_time_ns);
    u32 op = block__op(FIELD(btf, rq, cmd_flags));
    bool mine = stamp && stamp->request == (u64)rq;
    u64 issue = mine ? stamp->issue_ns : 0;
    struct sonde_block_series *series;
    struct sonde_block_rows *r;
    u32 index;

    if (nr_bytes < bytes_left) {
        block__count(&counters.partial);
        return 0;
    }
    if (filter_kind != SONDE_FILTER_NONE && !mine) {
        if (stamp && stamp->request)
            block__count(&counters.drops[SONDE_BLOCK_DROP_STAMP_LOST]);
        return 0;
    }
    if (mine && !stamp->wanted) {
        stamp->request = 0;
        return 0;
    }
    if (nr_bytes == 0 && (op == SONDE_BLOCK_READ || op == SONDE_BLOCK_WRITE)) {
        block__count(&counters.without_data);
        return 0;
    }
    index = bpf_get_smp_processor_id() * SONDE_BLOCK_DEVICES + block__slot(queue_id, major, minor);
    r = bpf_map_lookup_elem(&rows, &index);
    if (!r || op >= SONDE_BLOCK_OPS)
        return 0;
    series = &r->op[op];
    series->requests++;
    series->bytes += nr_bytes;
    if (error)
        series->errors++;
    if (!issue)
        block__count(&counters.drops[stamp && stamp->request ? SONDE_BLOCK_DROP_STAMP_LOST
                                                              : SONDE_BLOCK_DROP_NOT_ISSUED_HERE]);
    block__stages(series, op, start, issue, bpf_ktime_get_ns());
    if (mine)
        stamp->request = 0;
    return 0;
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(sonde_issue, struct request *rq) { return block__issue(true, rq, bpf_get_current_task_btf()); }

SEC("raw_tp/block_rq_issue")
int BPF_PROG(sonde_issue_raw, struct request *rq)
{
    return block__issue(false, rq, (struct task_struct *)bpf_get_current_task());
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(sonde_complete, struct request *rq, int error, unsigned int nr_bytes)
{
    return block__complete(true, rq, (u32)error, nr_bytes);
}

SEC("raw_tp/block_rq_complete")
int BPF_PROG(sonde_complete_raw, struct request *rq, int error, unsigned int nr_bytes)
{
    return block__complete(false, rq, (u32)error, nr_bytes);
}

SEC("tp_btf/block_io_start")
int BPF_PROG(sonde_io_start, struct request *rq) { return block__start(true, rq, bpf_get_current_task_btf()); }

SEC("raw_tp/block_io_start")
int BPF_PROG(sonde_io_start_raw, struct request *rq)
{
    return block__start(false, rq, (struct task_struct *)bpf_get_current_task());
}

/* Kernels before 6.5 have no block_io_start: the insertion into the scheduler is the next best. */
SEC("tp_btf/block_rq_insert")
int BPF_PROG(sonde_insert, struct request *rq) { return block__start(true, rq, bpf_get_current_task_btf()); }

SEC("raw_tp/block_rq_insert")
int BPF_PROG(sonde_insert_raw, struct request *rq)
{
    return block__start(false, rq, (struct task_struct *)bpf_get_current_task());
}
