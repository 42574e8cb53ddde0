/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What starts.bpf.c and its reader in user space share. */
#ifndef SONDE_ABI_STARTS_H
#define SONDE_ABI_STARTS_H

/* Processes that start between two looks; a power of two. */
#define SONDE_STARTS 1024

#endif
