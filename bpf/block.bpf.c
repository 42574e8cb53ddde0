// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Block I/O: latency of every request, per device, operation and stage.
 *
 * Problem: the end of a request is one event, block_rq_complete, but its beginning and its hand-over to the
 * driver are others, and a hash keyed by request costs more than the I/O stack's own bookkeeping.
 *
 * Idea: the kernel keeps the time at which it began to account the request (start_time_ns), so `total` needs no event
 * but the last. It is there only with the queue's setting iostats; since 6.13 a request that is not accounted keeps the
 * time of the one before it in the same memory, but has no `part`. The time of issue is kept by the kernel only for queues with statistics (QUEUE_FLAG_STATS), so
 * block_rq_issue notes it, in a table indexed by a hash of the request's address: queues allocate their requests
 * once, so there are few addresses, and no lock is needed. An entry names its request; where two requests in flight
 * share an entry, the older loses its stages and is counted. (With a filter the index is made of queue, hardware
 * queue and tag, which costs cache misses, because a flush has another address than the request it belongs to, but the
 * same tag.)
 *
 * A request is done when a completion covers all bytes that are left of it (block_rq_complete also fires
 * for parts). Flushes: a write that asks for a flush is turned by the kernel into a REQ_OP_FLUSH request and,
 * if it has data, the write itself; its own end then fires once more, with no bytes. Flushes are counted by
 * the former, writes with no bytes are not counted.
 *
 * Limits: since 6.9 start_time_ns may be the time at which the submitter began to plug, so it may be early by
 * the time in which a batch of requests was prepared. Where all tags of a queue without scheduler are taken, the
 * submitter sleeps before there is a request: that wait is off-CPU time (disk), not in here. Devices without requests (device mapper, md, zram) do
 * not show; those below them do.
 */
#include "bpf/abi/block.h"
#include "bpf/lib/filter.bpf.h"
#include "bpf/lib/hist.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define REQ_OP_MASK 0xff
#define STAMP_BITS 16
#define NEAR_BITS 16          /* of an address: 64 KiB */
#define REQUEST_ALIGN_BITS 6 /* requests begin on cache lines */
#define KNOWN_DEVICE_BITS 8
#define MINOR_BITS 20 /* of a dev_t in the kernel; above them are 12 of the major number */
#define FIBONACCI_HASH 0x9e3779b97f4a7c15ULL

struct stamp {
    u64 request;
    u64 issue; /* when, or 0; with a filter, STAMP_WANTED is set if it wants the task that submitted the request */
};
#define STAMP_WANTED (1ULL << 63)

const volatile u32 nr_cpus = 1;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE_ARRAY); /* for its alignment: no stamp lies on two cache lines */
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

/* Device number -> slot. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SONDE_BLOCK_DEVICES);
    __type(key, u32);
    __type(value, u32);
} slot_of_device SEC(".maps");

struct sonde_block_counters counters = {};
struct sonde_block_device devices[SONDE_BLOCK_DEVICES] = {};
u32 devices_used = 1; /* slot 0 is taken */
/* Device number << 8 | slot, by a hash of the device number: spares most events the map above. One word, so that no
 * reader sees one half of it. */
u64 known_devices[1 << KNOWN_DEVICE_BITS] = {};

static __always_inline void block__count(u64 *counter) { __sync_fetch_and_add(counter, 1); }

static __always_inline u64 block__tag(const bool btf, struct request *rq)
{
    struct request_queue *q = FIELD(btf, rq, q);
    struct blk_mq_hw_ctx *hctx = FIELD(btf, rq, mq_hctx);
    /* With an I/O scheduler the internal tag lasts from allocation to completion; without, it is -1. */
    u32 internal_tag = FIELD(btf, rq, internal_tag);
    u32 tag = internal_tag == (u32)-1 ? (u32)FIELD(btf, rq, tag) : internal_tag;

    return ((u64)FIELD(btf, q, id) << 40) + ((u64)FIELD(btf, hctx, queue_num) << 20) + tag;
}

/* The requests of a queue lie side by side: so do their stamps, which saves TLB misses. Blocks of addresses are
 * scattered over the table. */
static __always_inline u32 block__near_index(u32 address)
{
    u32 block = ((address >> NEAR_BITS) * FIBONACCI_HASH) >> (64 - STAMP_BITS);

    return (block + ((address & ((1U << NEAR_BITS) - 1)) >> REQUEST_ALIGN_BITS)) & ((1U << STAMP_BITS) - 1);
}

static __always_inline struct stamp *block__stamp(const bool btf, struct request *rq)
{
    u32 index;

    if (filter_kind == SONDE_FILTER_NONE)
        index = block__near_index(LOWER_HALF(rq));
    else
        index = (block__tag(btf, rq) * FIBONACCI_HASH) >> (64 - STAMP_BITS);
    return bpf_map_lookup_elem(&stamps, &index);
}

/* Four bits per operation of the kernel; those that are not named here are OTHER, which must be the zero of the table. */
#define OP_IS(req_op, op) ((u64)((op) ^ SONDE_BLOCK_OTHER) << (4 * (req_op)))
#define OPS                                                                                    \
    (OP_IS(REQ_OP_READ, SONDE_BLOCK_READ) | OP_IS(REQ_OP_WRITE, SONDE_BLOCK_WRITE) |           \
     OP_IS(REQ_OP_FLUSH, SONDE_BLOCK_FLUSH) | OP_IS(REQ_OP_DISCARD, SONDE_BLOCK_DISCARD) |     \
     OP_IS(REQ_OP_SECURE_ERASE, SONDE_BLOCK_DISCARD) | OP_IS(REQ_OP_WRITE_ZEROES, SONDE_BLOCK_DISCARD))

static __always_inline u32 block__op(u32 cmd_flags)
{
    u32 req_op = cmd_flags & REQ_OP_MASK;

    return req_op < 16 ? ((OPS >> (4 * req_op)) & 15) ^ SONDE_BLOCK_OTHER : SONDE_BLOCK_OTHER;
}

/* A device seen for the first time, or one that another has displaced from known_devices. */
__noinline u32 block__new_slot(u32 device)
{
    u32 *known = bpf_map_lookup_elem(&slot_of_device, &device);
    u32 slot;

    if (known)
        return *known & (SONDE_BLOCK_DEVICES - 1);
    slot = __sync_fetch_and_add(&devices_used, 1);
    if (slot >= SONDE_BLOCK_DEVICES) {
        __sync_fetch_and_sub(&devices_used, 1);
        block__count(&counters.devices_full);
        return SONDE_BLOCK_OTHER_DEVICE;
    }
    devices[slot].major = device >> MINOR_BITS;
    devices[slot].minor = device & ((1 << MINOR_BITS) - 1);
    bpf_map_update_elem(&slot_of_device, &device, &slot, BPF_ANY);
    return slot;
}

static __always_inline u32 block__slot(u32 device)
{
    u64 *seat = &known_devices[(device * FIBONACCI_HASH) >> (64 - KNOWN_DEVICE_BITS)];
    u64 known = *seat;
    u32 slot;

    if (known && known >> 8 == device)
        return known & (SONDE_BLOCK_DEVICES - 1);
    slot = block__new_slot(device);
    if (slot != SONDE_BLOCK_OTHER_DEVICE)
        *seat = (u64)device << 8 | slot;
    return slot;
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

static __always_inline void block__record(struct sonde_block_series *series, u32 op, enum sonde_block_stage stage, u64 ns)
{
    if (!hist__record_local(&series->stage[stage], ns))
        block__record_other(op, stage, ns);
}

static __always_inline bool block__is_flush_sequence(u32 cmd_flags)
{
    u32 preflush = 1U << bpf_core_enum_value(enum req_flag_bits, __REQ_PREFLUSH);

    return (cmd_flags & REQ_OP_MASK) == REQ_OP_FLUSH || (cmd_flags & preflush);
}

static __always_inline struct task_struct *block__current(const bool btf)
{
    return btf ? bpf_get_current_task_btf() : (struct task_struct *)bpf_get_current_task();
}

static __always_inline u64 block__wanted(const bool btf)
{
    return filter__matches(btf, block__current(btf)) ? STAMP_WANTED : 0;
}

static __always_inline int block__issue(const bool btf, struct request *rq)
{
    u64 now = bpf_ktime_get_ns();
    struct stamp *stamp = block__stamp(btf, rq);
    u64 wanted = 0;

    if (!stamp)
        return 0;
    if (filter_kind != SONDE_FILTER_NONE) {
        wanted = stamp->issue & STAMP_WANTED;
        /* A flush, and a write that follows one, are issued by a kernel worker; they bear the tag of the request
         * that was submitted, whose mark is still here. */
        if (stamp->request != (u64)rq && !block__is_flush_sequence(FIELD(btf, rq, cmd_flags)))
            wanted = block__wanted(btf);
    }
    stamp->request = (u64)rq;
    stamp->issue = now | wanted;
    return 0;
}

/* Only with a filter: runs in the submitter, which at the time of issue may be a kernel worker. */
static __always_inline int block__start(const bool btf, struct request *rq)
{
    struct stamp *stamp = block__stamp(btf, rq);

    if (!stamp)
        return 0;
    stamp->request = (u64)rq;
    stamp->issue = block__wanted(btf);
    return 0;
}

/* A start that was taken from another clock reading may lie a little behind the issue: then nothing was queued. */
static __always_inline u64 block__queued(u64 start, u64 issue) { return start < issue ? issue - start : 0; }

/* The times of a request of which not all is known. A global function: it is needed rarely, and verified once. */
__noinline int block__incomplete(struct sonde_block_series *series, u32 op, u64 start, u64 issue, u64 now)
{
    if (!series)
        return 0;
    if (!start)
        block__count(&counters.drops[SONDE_BLOCK_DROP_NO_START]);
    if (start > now || issue > now)
        block__count(&counters.drops[SONDE_BLOCK_DROP_CLOCK_BACKWARD]);
    if (start && start <= now)
        block__record(series, op, SONDE_BLOCK_TOTAL, now - start);
    if (issue && issue <= now)
        block__record(series, op, SONDE_BLOCK_DEVICE, now - issue);
    return 0;
}

/* A flush has no part; its time is set when the kernel makes it. */
static __always_inline bool block__has_start(u32 op, void *part) { return part || op == SONDE_BLOCK_FLUSH; }

static __always_inline int block__complete(const bool btf, struct request *rq, u32 error, u32 nr_bytes)
{
    u64 now = bpf_ktime_get_ns();
    /* All fields are read here, before the first branch: checking a typed pointer takes the verifier
     * milliseconds, and behind a branch it would be checked once per path. */
    struct request_queue *q = FIELD(btf, rq, q);
    struct gendisk *disk = request__disk(btf, rq, q);
    struct stamp *stamp = block__stamp(btf, rq);
    u32 device = (u32)FIELD(btf, disk, major) << MINOR_BITS | FIELD(btf, disk, first_minor);
    u32 bytes_left = FIELD(btf, rq, __data_len);
    u64 start = FIELD(btf, rq, start_time_ns);
    void *part = FIELD(btf, rq, part);
    u32 op = block__op(FIELD(btf, rq, cmd_flags));
    bool is_last = nr_bytes >= bytes_left;
    struct sonde_block_series *series;
    struct sonde_block_rows *r;
    u64 issue = 0;
    bool mine;
    u32 index;

    if (!stamp)
        return 0;
    mine = stamp->request == (u64)rq;
    if (filter_kind != SONDE_FILTER_NONE && !mine) {
        if (is_last && stamp->request)
            block__count(&counters.drops[SONDE_BLOCK_DROP_STAMP_LOST]);
        return 0;
    }
    if (filter_kind != SONDE_FILTER_NONE && !(stamp->issue & STAMP_WANTED)) {
        if (is_last)
            stamp->request = 0;
        return 0;
    }
    if (nr_bytes == 0 && (op == SONDE_BLOCK_READ || op == SONDE_BLOCK_WRITE))
        return 0;
    index = bpf_get_smp_processor_id() * SONDE_BLOCK_DEVICES + block__slot(device);
    r = bpf_map_lookup_elem(&rows, &index);
    if (!r || op >= SONDE_BLOCK_OPS)
        return 0;
    series = &r->op[op];
    series->bytes += nr_bytes;
    if (!is_last)
        return 0;
    if (!block__has_start(op, part))
        start = 0;
    if (error)
        series->errors++;
    if (mine)
        issue = stamp->issue & ~STAMP_WANTED;
    if (!issue)
        block__count(&counters.drops[stamp->request ? SONDE_BLOCK_DROP_STAMP_LOST : SONDE_BLOCK_DROP_NOT_ISSUED_HERE]);
    if (start && start <= now && issue && issue <= now) {
        block__record(series, op, SONDE_BLOCK_TOTAL, now - start);
        block__record(series, op, SONDE_BLOCK_QUEUE, block__queued(start, issue));
        block__record(series, op, SONDE_BLOCK_DEVICE, now - issue);
    } else {
        block__incomplete(series, op, start, issue, now);
    }
    if (mine)
        stamp->request = 0;
    return 0;
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(sonde_issue, struct request *rq) { return block__issue(true, rq); }

SEC("raw_tp/block_rq_issue")
int BPF_PROG(sonde_issue_raw, struct request *rq) { return block__issue(false, rq); }

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
int BPF_PROG(sonde_io_start, struct request *rq) { return block__start(true, rq); }

SEC("raw_tp/block_io_start")
int BPF_PROG(sonde_io_start_raw, struct request *rq) { return block__start(false, rq); }

/* Kernels before 6.5 have no block_io_start: the insertion into the scheduler is the next best. */
SEC("tp_btf/block_rq_insert")
int BPF_PROG(sonde_insert, struct request *rq) { return block__start(true, rq); }

SEC("raw_tp/block_rq_insert")
int BPF_PROG(sonde_insert_raw, struct request *rq) { return block__start(false, rq); }
