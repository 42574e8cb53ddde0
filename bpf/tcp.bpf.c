// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * TCP: round-trip time, connect and accept latency, retransmits and resets.
 *
 * Round-trip time. tcp_probe fires for every segment that an established connection receives, also for
 * connections that existed before tracing; a sock_ops callback would have to be enabled per connection. It
 * fires before the segment's acknowledgement is processed, so what it shows is the state that the previous
 * segment left: the kernel's newest raw sample, tp->rack.rtt_us (of the newest segment acknowledged, without
 * the receiver's delayed acknowledgements of older ones), and tp->rack.mstamp, the time at which
 * that segment was sent. A new mstamp is a new sample; each is counted once. The sample of the last
 * acknowledgement is picked up when the connection changes its state, for instance when it is closed; on
 * a connection that stays open and silent it is still to come.
 *
 * Limits: two segments sent in the same microsecond and acknowledged one by one count as one sample. The sample of a
 * segment that was sent again is left out by the kernel only if it is below the connection's least RTT (tcp_rack_advance):
 * where the answer to the first sending comes after the second, it is too short. Once the peer has closed its side, a
 * connection no longer passes tcp_probe: one last sample is picked up at the end. A packet that is sent again counts once,
 * also when it is several segments long.
 */
#include "bpf/lib/common.bpf.h"

#include <bpf/bpf_endian.h>

#include "bpf/lib/hist.bpf.h"
#include "bpf/lib/sock.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define IPPROTO_TCP 6
#define NS_PER_US 1000ULL

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE_ARRAY);
    __uint(max_entries, 1); /* set by user space */
    __type(key, u32);
    __type(value, struct sonde_tcp_rows);
} rows SEC(".maps");

const volatile u32 nr_cpus = 1;

static __always_inline struct sonde_tcp_rows *tcp__rows(u32 slot)
{
    u32 index = bpf_get_smp_processor_id() * SONDE_TCP_PORTS + (slot & (SONDE_TCP_PORTS - 1));

    return bpf_map_lookup_elem(&rows, &index);
}

enum tcp_series { TCP_RTT, TCP_RTT_AT_CHANGE, TCP_CONNECT, TCP_ACCEPT };

static __always_inline struct sonde_hist_row *tcp__row(struct sonde_tcp_rows *r, enum tcp_series series, u32 peer)
{
    peer &= SONDE_PEER_SLOTS - 1;
    if (series == TCP_RTT)
        return &r->rtt[peer];
    if (series == TCP_RTT_AT_CHANGE)
        return &r->rtt_at_change[peer];
    return series == TCP_CONNECT ? &r->connect[peer] : &r->accept[peer];
}

/* No chunk was free: the entry behind those of all CPUs has its chunks already, and is shared. */
static __noinline void tcp__record_other(enum tcp_series series, u32 peer, u64 ns)
{
    u32 index = nr_cpus * SONDE_TCP_PORTS;
    struct sonde_tcp_rows *r = bpf_map_lookup_elem(&rows, &index);

    tcp__count(&counters.chunks_full);
    if (r)
        hist__record_shared(tcp__row(r, series, peer), ns);
}

static __always_inline void tcp__record(enum tcp_series series, u32 slot, u32 peer, u64 ns)
{
    struct sonde_tcp_rows *r = tcp__rows(slot);

    if (r && !hist__record_local(tcp__row(r, series, peer), ns))
        tcp__record_other(series, peer, ns);
}

static __always_inline struct tcp_sock *tcp__sock(const bool btf, struct sock *sk)
{
    return btf ? bpf_skc_to_tcp_sock(sk) : (struct tcp_sock *)sk;
}

/* A connection from before tracing: its newest sample may be old, so it is taken as counted. */
static __always_inline void tcp__adopt(const bool btf, struct sock *sk, struct sock_entry *e)
{
    struct tcp_sock *tp = tcp__sock(btf, sk);

    sock__name(btf, sk, e);
    if (tp)
        e->rack_mstamp = FIELD(btf, tp, rack.mstamp);
}

/* Counts the kernel's newest RTT sample, unless it was counted before. */
static __always_inline void tcp__sample(const bool btf, struct sock *sk, struct sock_entry *e, enum tcp_series series)
{
    struct tcp_sock *tp = tcp__sock(btf, sk);
    u64 mstamp;

    if (!tp)
        return;
    mstamp = FIELD(btf, tp, rack.mstamp);
    if (mstamp == e->rack_mstamp)
        return;
    e->rack_mstamp = mstamp;
    if (sock__wanted(e))
        tcp__record(series, e->slot, e->peer, FIELD(btf, tp, rack.rtt_us) * NS_PER_US);
}

static __always_inline int tcp__probe(const bool btf, struct sock *sk)
{
    struct sock_entry *e = sock__entry(btf, sk);

    if (!e)
        return 0;
    if (e->named)
        tcp__sample(btf, sk, e, TCP_RTT);
    else
        tcp__adopt(btf, sk, e);
    return 0;
}

static __always_inline void tcp__connected(const bool btf, struct sock *sk, struct sock_entry *e, u64 since)
{
    u64 now = bpf_ktime_get_ns();

    if (!sock__wanted(e))
        return;
    if (!since)
        tcp__count(&counters.drops[SONDE_TCP_DROP_BEGAN_BEFORE]);
    else if (now < since)
        tcp__count(&counters.drops[SONDE_TCP_DROP_CLOCK_BACKWARD]);
    else
        tcp__record(TCP_CONNECT, sock__remote_slot(btf, sk, e->peer), e->peer, now - since);
}

static __always_inline void tcp__connect_failed(const bool btf, struct sock *sk, struct sock_entry *e)
{
    struct sonde_tcp_rows *r;

    if (!sock__wanted(e))
        return;
    r = tcp__rows(sock__remote_slot(btf, sk, e->peer));
    if (r)
        r->connect_failures[e->peer & (SONDE_PEER_SLOTS - 1)]++;
}

/* The process has got the connection. */
static __always_inline void tcp__accepted(struct sock_entry *e, u64 since)
{
    u64 now = bpf_ktime_get_ns();

    e->since_ns = 0;
    __sync_fetch_and_add(&waiting_for_accept, -1);
    if (now < since)
        tcp__count(&counters.drops[SONDE_TCP_DROP_CLOCK_BACKWARD]);
    else if (sock__wanted(e))
        tcp__record(TCP_ACCEPT, e->slot, e->peer, now - since);
}

static __always_inline int tcp__state(const bool btf, struct sock *sk, int from, int to, struct task_struct *current)
{
    struct sock_entry *e;
    u64 since, key;

    if (FIELD(btf, sk, sk_protocol) != IPPROTO_TCP)
        return 0;
    if (to == TCP_LISTEN) {
        u32 port = FIELD(btf, sk, __sk_common.skc_num);

        if (port__slot(port, SONDE_TCP_PORTS) == SONDE_TCP_PORTS)
            port__add(port, SONDE_TCP_PORTS);
        return 0;
    }
    if (from == TCP_LISTEN)
        return 0;
    e = sock__entry(btf, sk);
    if (!e)
        return 0;
    since = e->since_ns;
    if (to == TCP_SYN_SENT) {
        sock__name(btf, sk, e);
        sock__used_by(btf, e, current);
        e->since_ns = bpf_ktime_get_ns();
    } else if (from == TCP_SYN_SENT) {
        /* Known only now: the local port was not chosen when the state became SYN_SENT. Who connects is known from
         * then, or not at all. */
        u8 owner = e->owner;

        sock__name(btf, sk, e);
        if (owner != SOCK_OWNER_UNKNOWN)
            e->owner = owner;
        e->since_ns = 0;
        if (to == TCP_ESTABLISHED)
            tcp__connected(btf, sk, e, since);
        else
            tcp__connect_failed(btf, sk, e);
    } else if (from == TCP_SYN_RECV && to == TCP_ESTABLISHED) {
        sock__name(btf, sk, e);
        __sync_fetch_and_add(&waiting_for_accept, 1);
        if (__sync_val_compare_and_swap(&e->since_ns, 0, bpf_ktime_get_ns()) == SOCK_ACCEPTED_EARLY)
            tcp__accepted(e, bpf_ktime_get_ns());
    } else if (e->named) {
        tcp__sample(btf, sk, e, TCP_RTT_AT_CHANGE);
        if (to == TCP_CLOSE && e->since_ns > SOCK_ACCEPTED_EARLY) {
            e->since_ns = 0;
            __sync_fetch_and_add(&waiting_for_accept, -1);
        }
    }
    if (!btf && to == TCP_CLOSE) {
        key = (u64)sk;
        bpf_map_delete_elem(&sock_hash, &key);
    }
    return 0;
}

/* inet_csk_accept has returned a socket. */
static __always_inline int tcp__accept(struct sock *sk)
{
    struct sock_entry *e;
    u64 since;

    if (!sk || sk->sk_protocol != IPPROTO_TCP)
        return 0;
    e = sock__entry(true, sk);
    if (!e)
        return 0;
    if (!e->named)
        tcp__adopt(true, sk, e);
    sock__used_by(true, e, bpf_get_current_task_btf());
    since = e->since_ns;
    if (!since && sk->__sk_common.skc_state == TCP_SYN_RECV)
        since = __sync_val_compare_and_swap(&e->since_ns, 0, SOCK_ACCEPTED_EARLY);
    else if (!since && sock__wanted(e))
        tcp__count(&counters.drops[SONDE_TCP_DROP_BEGAN_BEFORE]);
    if (since)
        tcp__accepted(e, since);
    return 0;
}

const volatile bool accept_is_first_read = false;

/* A process reads from the socket: it is the owner; and, where accept itself cannot be seen, it has it now. */
static __always_inline int tcp__read(const bool btf, struct sock *sk, struct task_struct *current)
{
    struct sock_entry *e;

    if (filter_kind == SONDE_FILTER_NONE && !waiting_for_accept)
        return 0;
    e = sock__entry(btf, sk);
    if (!e)
        return 0;
    sock__used_by(btf, e, current);
    if (accept_is_first_read && e->since_ns)
        tcp__accepted(e, e->since_ns);
    return 0;
}

static __always_inline int tcp__retransmit(const bool btf, struct sock *sk)
{
    struct sock_entry *e = sock__entry(btf, sk);
    struct sonde_tcp_rows *r;

    if (!e)
        return 0;
    if (!e->named)
        tcp__adopt(btf, sk, e);
    if (!sock__wanted(e))
        return 0;
    r = tcp__rows(e->slot);
    if (r)
        r->retransmits[e->peer & (SONDE_PEER_SLOTS - 1)]++;
    return 0;
}

/* The answer to a SYN, sent again: there is no socket yet, only the request for one, and the listening socket. */
static __always_inline int tcp__retransmit_synack(const bool btf, struct sock *listener, struct request_sock *req)
{
    u32 peer = sock__peer(btf, &req->__req_common);
    struct sonde_tcp_rows *r;

    if (filter_kind != SONDE_FILTER_NONE &&
        (filter_kind != SONDE_FILTER_CGROUP || !sock__cgroup_matches(btf, listener)))
        return 0;
    r = tcp__rows(port__slot(FIELD(btf, req, __req_common.skc_num), SONDE_TCP_PORT_EPHEMERAL));
    if (r)
        r->retransmits[peer & (SONDE_PEER_SLOTS - 1)]++;
    return 0;
}

SEC("tp_btf/tcp_probe")
int BPF_PROG(sonde_tcp_probe, struct sock *sk) { return tcp__probe(true, sk); }

SEC("raw_tp/tcp_probe")
int BPF_PROG(sonde_tcp_probe_raw, struct sock *sk) { return tcp__probe(false, sk); }

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(sonde_tcp_state, struct sock *sk, int from, int to)
{
    return tcp__state(true, sk, from, to, bpf_get_current_task_btf());
}

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(sonde_tcp_state_raw, struct sock *sk, int from, int to)
{
    return tcp__state(false, sk, from, to, (struct task_struct *)bpf_get_current_task());
}

SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(sonde_tcp_read, struct sock *sk) { return tcp__read(true, sk, bpf_get_current_task_btf()); }

SEC("raw_tp/tcp_rcv_space_adjust")
int BPF_PROG(sonde_tcp_read_raw, struct sock *sk)
{
    return tcp__read(false, sk, (struct task_struct *)bpf_get_current_task());
}

/* Since 6.17 the tracepoint has an argument more, and also tells of what could not be sent. */
const volatile bool retransmit_has_error = false;
#define RETRANSMIT_FAILED(ctx) (retransmit_has_error && (int)(ctx)[2])

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(sonde_tcp_retransmit, struct sock *sk)
{
    return RETRANSMIT_FAILED(ctx) ? 0 : tcp__retransmit(true, sk);
}

SEC("raw_tp/tcp_retransmit_skb")
int BPF_PROG(sonde_tcp_retransmit_raw, struct sock *sk)
{
    return RETRANSMIT_FAILED(ctx) ? 0 : tcp__retransmit(false, sk);
}

SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(sonde_tcp_synack, struct sock *listener, struct request_sock *req)
{
    return tcp__retransmit_synack(true, listener, req);
}

SEC("raw_tp/tcp_retransmit_synack")
int BPF_PROG(sonde_tcp_synack_raw, struct sock *listener, struct request_sock *req)
{
    return tcp__retransmit_synack(false, listener, req);
}

/* Resets are often sent without a socket, so they are counted for the host and have one form of program. */
SEC("raw_tp/tcp_send_reset")
int sonde_tcp_reset_sent(void *ctx)
{
    tcp__count(&counters.resets_sent);
    return 0;
}

SEC("raw_tp/tcp_receive_reset")
int sonde_tcp_reset_received(void *ctx)
{
    tcp__count(&counters.resets_received);
    return 0;
}

/* Before 6.10 inet_csk_accept had four arguments, since then two; the return value comes behind them. */
SEC("fexit/inet_csk_accept")
int BPF_PROG(sonde_tcp_accept4, struct sock *listener, int flags, int *err, bool kern, struct sock *sk)
{
    return tcp__accept(sk);
}

SEC("fexit/inet_csk_accept")
int BPF_PROG(sonde_tcp_accept2, struct sock *listener, void *arg, struct sock *sk)
{
    return tcp__accept(sk);
}
