// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Runs the histogram code of the probes on values given by a test (BPF_PROG_TEST_RUN; never attached). A raw_tp
 * program, because that is what the probes are and what every supported kernel can run this way.
 */
#include "bpf/lib/hist.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define BATCH 2048

u64 values[BATCH] = {};
u32 cells[BATCH] = {};
u32 nr_values = 0;
u64 refused = 0; /* values for which no chunk was free */

struct sonde_hist_row local_row = {};
struct sonde_hist_row shared_row = {};

__noinline u32 test__cell(u64 ns) { return sonde_hist__cell(ns); }

SEC("raw_tp/sched_switch")
int hist_cells(void *ctx)
{
    for (u32 i = 0; i < BATCH && i < nr_values; i++)
        cells[i] = test__cell(values[i]);
    return 0;
}

SEC("raw_tp/sched_switch")
int hist_record(void *ctx)
{
    for (u32 i = 0; i < BATCH && i < nr_values; i++) {
        if (!hist__record_local(&local_row, values[i]))
            refused++;
        if (!hist__record_shared(&shared_row, values[i]))
            refused++;
    }
    return 0;
}
