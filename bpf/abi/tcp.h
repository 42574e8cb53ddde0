/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What tcp.bpf.c and its reader in user space share. */
#ifndef SONDE_ABI_TCP_H
#define SONDE_ABI_TCP_H

#include "bpf/abi/hist.h"

enum sonde_tcp_peer {
    SONDE_PEER_LOOPBACK, /* 127/8, ::1, or the same address at both ends */
    SONDE_PEER_PRIVATE,  /* RFC 1918, RFC 6598 (100.64/10), link local, unique local */
    SONDE_PEER_PUBLIC,
    SONDE_PEERS,
};
/* A power of two, so that an index can be masked: the verifier of older kernels loses track of a compare. */
#define SONDE_PEER_SLOTS 4

/* Ports that get series of their own. A port gets a slot when somebody on this host listens on it, or as the
 * remote port of a connection to a loopback or private address: so a remote party cannot create series. */
#define SONDE_TCP_PORTS 64
#define SONDE_TCP_PORT_OTHER 0     /* the table is full, or a remote port of a public address */
#define SONDE_TCP_PORT_EPHEMERAL 1 /* a local port on which nobody listens */
#define SONDE_TCP_FIRST_PORT 2
/* Remote ports get slots only below this one, so that a scan of ports leaves some to those who listen. */
#define SONDE_TCP_REMOTE_PORTS 40
/* Ports of which it is known that somebody listens; those without a slot are "other". */
#define SONDE_TCP_KNOWN_PORTS 1024

enum sonde_tcp_drop {
    SONDE_TCP_DROP_NO_STATE,       /* no memory for the state of a socket */
    SONDE_TCP_DROP_OWNER_UNKNOWN,  /* with a filter: no process was yet seen to use the socket */
    SONDE_TCP_DROP_BEGAN_BEFORE,   /* connect or accept of which the beginning was not seen */
    SONDE_TCP_DROP_CLOCK_BACKWARD,
    SONDE_TCP_DROPS,
};

/* One per CPU and port: index cpu * SONDE_TCP_PORTS + slot; only that CPU writes it. One more behind them takes,
 * from all CPUs, what found no chunk. */
struct sonde_tcp_rows {
    struct sonde_hist_row rtt[SONDE_PEER_SLOTS];
    /* RTT samples found when a connection changes its state: that program may interrupt the other, or be
     * interrupted by it, so each has rows of its own. */
    struct sonde_hist_row rtt_at_change[SONDE_PEER_SLOTS];
    struct sonde_hist_row connect[SONDE_PEER_SLOTS]; /* by remote port */
    struct sonde_hist_row accept[SONDE_PEER_SLOTS];
    __u64 retransmits[SONDE_PEER_SLOTS];
    __u64 connect_failures[SONDE_PEER_SLOTS]; /* by remote port */
};

struct sonde_tcp_counters {
    __u64 drops[SONDE_TCP_DROPS];
    __u64 resets_sent;
    __u64 resets_received;
    __u64 ports_full;
    __u64 chunks_full;
};

#ifdef __cplusplus
static_assert(sizeof(sonde_tcp_rows) % 8 == 0 && sizeof(sonde_tcp_counters) % 8 == 0);
#endif

#endif
