// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Functions of a process: how long each call takes, from uprobes at its beginning and at each of its ends.
 *
 * Problem: the two ends of one call must be found to belong together. A stack of beginnings per thread would do for C,
 * but Go moves goroutines between threads, and their stacks in memory; calls recurse, and some end without a return
 * (panic, longjmp, exit).
 *
 * Idea: a call under way is kept under the function, its owner, and where its stack frame is. At the beginning, before
 * anything is pushed, and at a return, after all is popped, the stack pointer is the same. For a C call that is enough:
 * within a process no two calls under way have the same, whichever thread runs them. The owner of a Go call is the
 * goroutine (register R14; X28 on arm64), and the frame is the distance from the stack's upper end (g.stack.hi, at 8 in every Go version), which stays when the stack
 * moves. A call that never returns leaves an entry, which the next call at the same place overwrites, or which is
 * forgotten as the oldest: see bpf/lib/flight.bpf.h.
 *
 * Limits: Go from 1.17 on, which has the goroutine in a register. Time is wall time: a goroutine that waits is under way.
 */
#include "bpf/lib/flight.bpf.h"
#include "bpf/lib/hist.bpf.h"

#include "bpf/abi/client.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define GO_STACK_HI 8

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE_ARRAY);
    __uint(max_entries, SONDE_CLIENT_FUNCTIONS);
    __type(key, u32);
    __type(value, struct sonde_client_function);
} functions SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE_ARRAY);
    __uint(max_entries, SONDE_CLIENT_SERIES + 1); /* the last takes what found no chunk */
    __type(key, u32);
    __type(value, struct sonde_hist_row);
} series SEC(".maps");

/* The series of a text; filled by user space. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SONDE_CLIENT_TEXTS);
    __type(key, struct sonde_client_text);
    __type(value, u32);
} texts SEC(".maps");

struct sonde_client_counters counters = {};

static __always_inline u64 client__goroutine(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
    return regs->r14;
#elif defined(__TARGET_ARCH_arm64)
    return ((struct user_pt_regs *)regs)->regs[28];
#endif
}

static __always_inline void client__drop(struct sonde_client_function *function, enum sonde_client_drop reason)
{
    __sync_fetch_and_add(&function->drops[reason], 1);
}

static __always_inline u32 client__tgid(void) { return bpf_get_current_pid_tgid() >> 32; }

/* The function of a probe. NULL where nothing is counted: when tracing has ended, or its probes are being taken back; and
 * for another process than its own: one forked from it has its breakpoints, and on some kernels return probes are not
 * confined to a process. */
static __always_inline struct sonde_client_function *client__function(u32 cookie)
{
    u32 index = SONDE_CLIENT_FUNCTION_OF(cookie);
    struct sonde_client_function *function = bpf_map_lookup_elem(&functions, &index);

    if (!function || function->tgid != client__tgid() || counters.stopped)
        return NULL;
    return *(volatile u16 *)&function->generation == SONDE_CLIENT_GENERATION_OF(cookie) ? function : NULL;
}

/* False if it cannot be told. */
static __always_inline bool client__key(struct pt_regs *regs, const struct sonde_client_function *function,
                                        const bool go, u64 sp, u32 cookie, struct sonde_client_activation *key)
{
    u64 stack_hi;

    key->cookie = cookie;
    key->tgid = function->tgid;
    key->depth = sp;
    if (!go) {
        if (function->flags & SONDE_CLIENT_BY_THREAD) {
            key->owner = (u32)bpf_get_current_pid_tgid();
            key->depth = 0;
        }
        return true;
    }
    key->owner = client__goroutine(regs);
    if (bpf_probe_read_user(&stack_hi, sizeof(stack_hi), (void *)(key->owner + GO_STACK_HI)))
        return false;
    key->depth = stack_hi - sp;
    return true;
}

/* Go's calling convention, since 1.17: https://go.dev/s/regabi. All are read, each by an access of its own: the verifier
 * takes no register whose place in the context is computed. */
static __always_inline u64 client__go_argument(struct pt_regs *regs, u16 argument)
{
#if defined(__TARGET_ARCH_x86)
    u64 all[] = { *(volatile unsigned long *)&regs->ax, *(volatile unsigned long *)&regs->bx,
                  *(volatile unsigned long *)&regs->cx, *(volatile unsigned long *)&regs->di,
                  *(volatile unsigned long *)&regs->si };
#elif defined(__TARGET_ARCH_arm64)
    volatile u64 *x = ((struct user_pt_regs *)regs)->regs;
    u64 all[] = { x[0], x[1], x[2], x[3], x[4] };
#endif

    return argument == 1 ? all[0] : argument == 2 ? all[1] : argument == 3 ? all[2] : argument == 4 ? all[3] : all[4];
}

/* The series of a call by its text, where that is one of those that user space knows: what comes from the network must
 * not be able to make series. */
static __noinline u32 client__series_of_text(struct pt_regs *regs, struct sonde_client_function *function)
{
    struct sonde_client_text key = {};
    struct {
        u64 data;
        u64 bytes;
    } text;
    u64 bytes;
    u32 *found;

    if (!function)
        return 0;
    key.series = function->series;
    if (bpf_probe_read_user(&text, sizeof(text),
                            (void *)(client__go_argument(regs, function->argument) + function->text_at)))
        return function->series;
    bytes = text.bytes;
    if (bytes == 0 || bytes >= SONDE_CLIENT_TEXT_BYTES)
        return function->series;
    if (bpf_probe_read_user(key.text, bytes, (void *)text.data))
        return function->series;
    found = bpf_map_lookup_elem(&texts, &key);
    return found ? *found : function->series;
}

static __always_inline int client__begin(struct pt_regs *regs, const bool go)
{
    u64 now = bpf_ktime_get_ns();
    u32 cookie = bpf_get_attach_cookie(regs);
    struct sonde_client_function *function = client__function(cookie);
    struct sonde_client_activation key = {};
    u32 series;

    if (!function)
        return 0;
    __sync_fetch_and_add(&function->begun, 1);
    if (!client__key(regs, function, go, PT_REGS_SP(regs), cookie, &key)) {
        client__drop(function, SONDE_CLIENT_DROP_NO_GOROUTINE);
        return 0;
    }
    series = go && function->argument ? client__series_of_text(regs, function) : function->series;
    if (!flight__put(&key, now, series))
        client__drop(function, SONDE_CLIENT_DROP_NO_ROOM);
    return 0;
}

static __noinline void client__record_other(u64 ns)
{
    u32 index = SONDE_CLIENT_SERIES;
    struct sonde_hist_row *other = bpf_map_lookup_elem(&series, &index);

    __sync_fetch_and_add(&counters.chunks_full, 1);
    if (other)
        hist__record_shared(other, ns);
}

/* `popped` is what the return has taken from the stack already. */
static __always_inline int client__end(struct pt_regs *regs, const bool go, u64 popped)
{
    u64 now = bpf_ktime_get_ns();
    u32 cookie = bpf_get_attach_cookie(regs);
    struct sonde_client_function *function = client__function(cookie);
    struct sonde_client_activation key = {};
    struct sonde_hist_row *row;
    u32 index = 0;
    u64 began;

    if (!function)
        return 0;
    __sync_fetch_and_add(&function->ended, 1);
    if (!client__key(regs, function, go, PT_REGS_SP(regs) - popped, cookie, &key)) {
        client__drop(function, SONDE_CLIENT_DROP_NO_GOROUTINE);
        return 0;
    }
    began = flight__take(&key, &index);
    if (!began) {
        client__drop(function, SONDE_CLIENT_DROP_BEGAN_BEFORE);
        return 0;
    }
    if (now < began) {
        client__drop(function, SONDE_CLIENT_DROP_CLOCK_BACKWARD);
        return 0;
    }
    row = bpf_map_lookup_elem(&series, &index);
    if (row && !hist__record_shared(row, now - began))
        client__record_other(now - began);
    return 0;
}

SEC("uprobe")
int sonde_call_begin(struct pt_regs *regs) { return client__begin(regs, false); }

SEC("uprobe")
int sonde_call_end(struct pt_regs *regs) { return client__end(regs, false, 0); }

/* At the return address: on x86 the return instruction has popped it. */
#if defined(__TARGET_ARCH_x86)
#define POPPED_BY_RETURN sizeof(u64)
#else
#define POPPED_BY_RETURN 0
#endif

SEC("uretprobe")
int sonde_call_returned(struct pt_regs *regs) { return client__end(regs, false, POPPED_BY_RETURN); }

SEC("uprobe")
int sonde_go_begin(struct pt_regs *regs) { return client__begin(regs, true); }

SEC("uprobe")
int sonde_go_end(struct pt_regs *regs) { return client__end(regs, true, 0); }
