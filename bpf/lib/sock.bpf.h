/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the TCP programs remember of a socket, and what they call it: the class of its peer and its port.
 *
 * Kept in socket local storage, which goes away with the socket; without BTF (raw_tp) in a hash keyed by the
 * socket's address, from which entries are removed when the socket is closed.
 *
 * Whose is a socket, when the session is about some processes only? Segments arrive in interrupts, where
 * `current` is anybody. The cgroup of its maker is kept in the socket itself. For the other filters the owner is learnt
 * when a process uses the socket: when it connects, and when it reads (tcp_rcv_space_adjust).
 */
#ifndef SONDE_LIB_SOCK_BPF_H
#define SONDE_LIB_SOCK_BPF_H

#include "bpf/abi/tcp.h"
#include "bpf/lib/filter.bpf.h"

#define AF_INET 2
#define AF_INET6 10

enum sock_owner { SOCK_OWNER_UNKNOWN, SOCK_OWNER_WANTED, SOCK_OWNER_OTHER };

struct sock_entry {
    u64 rack_mstamp; /* the send time of the segment whose RTT was counted last */
    u64 since_ns;    /* since when connecting, or waiting for accept; 0: neither; or SOCK_ACCEPTED_EARLY */
    u16 slot;        /* of the local port */
    u8 peer;
    u8 owner;
    u8 named; /* slot and peer are set */
    u8 pad[3];
};
/* accept may return a connection a moment before it is established. The two may happen at once on two CPUs: the one
 * that finds the mark of the other in since_ns records the latency. */
#define SOCK_ACCEPTED_EARLY 1

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct sock_entry);
} sock_storage SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1); /* set by user space where it is used */
    __type(key, u64);
    __type(value, struct sock_entry);
} sock_hash SEC(".maps");

/* port -> slot. Filled by user space with the ports that are listened on already. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SONDE_TCP_KNOWN_PORTS);
    __type(key, u32);
    __type(value, u32);
} ports SEC(".maps");

u32 port_of_slot[SONDE_TCP_PORTS] = {};
u32 ports_used = SONDE_TCP_FIRST_PORT;
struct sonde_tcp_counters counters = {};

/* Sockets that are established and not yet accepted: while there are none, a read need not be looked at. */
u32 waiting_for_accept = 0;

static __always_inline void tcp__count(u64 *counter) { __sync_fetch_and_add(counter, 1); }

#define PORT_TRIES 8

/* A slot for a port, out of the first `limit`. */
__noinline u32 port__add(u32 port, u32 limit)
{
    u32 slot = SONDE_TCP_PORT_OTHER, used;

    for (int i = 0; i < PORT_TRIES; i++) {
        used = *(volatile u32 *)&ports_used;
        if (used >= limit || used >= SONDE_TCP_PORTS)
            break;
        if (__sync_val_compare_and_swap(&ports_used, used, used + 1) == used) {
            port_of_slot[used] = port;
            slot = used;
            break;
        }
    }
    if (slot == SONDE_TCP_PORT_OTHER) {
        tcp__count(&counters.ports_full);
        if (limit < SONDE_TCP_PORTS)
            return slot; /* it may still be listened on one day */
    }
    bpf_map_update_elem(&ports, &port, &slot, BPF_ANY);
    return slot;
}

static __always_inline u32 port__slot(u32 port, u32 if_unknown)
{
    u32 *slot = bpf_map_lookup_elem(&ports, &port);

    return slot ? *slot : if_unknown;
}

static __always_inline enum sonde_tcp_peer peer__of_ipv4(u32 saddr, u32 daddr)
{
    u32 a = bpf_ntohl(daddr);

    if (saddr == daddr || a >> 24 == 127)
        return SONDE_PEER_LOOPBACK;
    if (a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 16 == 0xa9fe || a >> 22 == 0x191)
        return SONDE_PEER_PRIVATE;
    return SONDE_PEER_PUBLIC;
}

static __always_inline enum sonde_tcp_peer peer__of_ipv6(const u32 *s, const u32 *d)
{
    u32 top = bpf_ntohl(d[0]);

    if (d[0] == 0 && d[1] == 0 && d[2] == bpf_htonl(0xffff))
        return peer__of_ipv4(s[3], d[3]);
    if (d[0] == 0 && d[1] == 0 && d[2] == 0 && d[3] == bpf_htonl(1))
        return SONDE_PEER_LOOPBACK;
    if (s[0] == d[0] && s[1] == d[1] && s[2] == d[2] && s[3] == d[3])
        return SONDE_PEER_LOOPBACK;
    if (top >> 25 == 0xfc >> 1 || top >> 22 == 0xfe80 >> 6)
        return SONDE_PEER_PRIVATE;
    return SONDE_PEER_PUBLIC;
}

static __always_inline enum sonde_tcp_peer sock__peer(const bool btf, const struct sock_common *sk)
{
    if (FIELD(btf, sk, skc_family) == AF_INET6) {
        u32 s[4], d[4];

#pragma unroll
        for (int i = 0; i < 4; i++) {
            s[i] = FIELD(btf, sk, skc_v6_rcv_saddr.in6_u.u6_addr32[i]);
            d[i] = FIELD(btf, sk, skc_v6_daddr.in6_u.u6_addr32[i]);
        }
        return peer__of_ipv6(s, d);
    }
    return peer__of_ipv4(FIELD(btf, sk, skc_rcv_saddr), FIELD(btf, sk, skc_daddr));
}

static __always_inline u32 sock__remote_port(const bool btf, struct sock *sk)
{
    return bpf_ntohs(FIELD(btf, sk, __sk_common.skc_dport));
}

/* Slot of the remote port, for what this host began. */
static __always_inline u32 sock__remote_slot(const bool btf, struct sock *sk, u8 peer)
{
    u32 port = sock__remote_port(btf, sk);
    u32 slot = port__slot(port, SONDE_TCP_PORTS);

    if (slot < SONDE_TCP_PORTS)
        return slot;
    return peer == SONDE_PEER_PUBLIC ? SONDE_TCP_PORT_OTHER : port__add(port, SONDE_TCP_REMOTE_PORTS);
}

static __always_inline bool sock__cgroup_matches(const bool btf, struct sock *sk)
{
    if (!bpf_core_field_exists(struct sock_cgroup_data, cgroup))
        return false;
    return filter__cgroup_is_below(btf, FIELD(btf, sk, sk_cgrp_data.cgroup));
}

static __always_inline void sock__name(const bool btf, struct sock *sk, struct sock_entry *e)
{
    e->peer = sock__peer(btf, &sk->__sk_common);
    e->slot = port__slot(FIELD(btf, sk, __sk_common.skc_num), SONDE_TCP_PORT_EPHEMERAL);
    if (filter_kind == SONDE_FILTER_NONE)
        e->owner = SOCK_OWNER_WANTED;
    else if (filter_kind == SONDE_FILTER_CGROUP)
        e->owner = sock__cgroup_matches(btf, sk) ? SOCK_OWNER_WANTED : SOCK_OWNER_OTHER;
    e->named = 1;
}

/* The entry of a socket, created if need be; NULL when there is no memory for one. */
static __always_inline struct sock_entry *sock__entry(const bool btf, struct sock *sk)
{
    struct sock_entry *e, fresh = {};
    u64 key;

    if (btf) {
        e = bpf_sk_storage_get(&sock_storage, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    } else {
        key = (u64)sk;
        e = bpf_map_lookup_elem(&sock_hash, &key);
        if (!e) {
            bpf_map_update_elem(&sock_hash, &key, &fresh, BPF_NOEXIST);
            e = bpf_map_lookup_elem(&sock_hash, &key);
        }
    }
    if (!e)
        tcp__count(&counters.drops[SONDE_TCP_DROP_NO_STATE]);
    return e;
}

static __always_inline bool sock__wanted(struct sock_entry *e)
{
    if (e->owner == SOCK_OWNER_UNKNOWN)
        tcp__count(&counters.drops[SONDE_TCP_DROP_OWNER_UNKNOWN]);
    return e->owner == SOCK_OWNER_WANTED;
}

/* `current` uses the socket. A socket's cgroup is the one in which it was made: a process that has moved since brings
 * its sockets along. */
static __always_inline void sock__used_by(const bool btf, struct sock_entry *e, struct task_struct *user)
{
    if (filter_kind == SONDE_FILTER_NONE)
        return;
    if (filter__matches(btf, user))
        e->owner = SOCK_OWNER_WANTED;
    else if (filter_kind != SONDE_FILTER_CGROUP)
        e->owner = SOCK_OWNER_OTHER;
}

#endif
