// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Scheduler: where the time of every thread goes.
 *
 *            wakeup                switch in              switch out, blocked
 *   BLOCKED ---------> QUEUED ------------------> RUNNING ------------------> BLOCKED
 *                         ^                          |
 *                         +--- switch out, runnable -+
 *
 * The time in RUNNING is an on-CPU slice, in QUEUED a run-queue latency, in BLOCKED an off-CPU time; together
 * they are the wall time of a thread. All of it is recorded in sched_switch; a wakeup only notes the time.
 *
 * The clock is bpf_ktime_get_ns. The clock of the run queue (rq.clock, and sched_info, which is made of it) would be
 * free: the kernel has just read it. But it skips that when a wakeup preempts, and shows the waits after such wakeups
 * as nearly zero; and the flag that says so (clock_update_flags) is gone by the time of the tracepoint, on 6.18 at least.
 */
#include "bpf/lib/hist.bpf.h"
#include "bpf/lib/offcpu.bpf.h"
#include "bpf/lib/task.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __noinline void sched__record_other(u32 series, u64 ns)
{
    u32 slot = SONDE_OTHER_SLOT;
    struct sonde_sched_rows *r = bpf_map_lookup_elem(&rows, &slot);

    __sync_fetch_and_add(&counters.chunks_full, 1);
    if (r && series < SONDE_SCHED_SERIES)
        hist__record_shared(&r->series[series], ns);
}

static __always_inline void sched__record(struct sonde_sched_rows *r, u64 series, u64 from, u64 to)
{
    bool recorded;

    if (to < from) {
        task__drop(SONDE_SCHED_DROP_CLOCK_BACKWARD);
        return;
    }
    BOUND_INDEX(series, SONDE_SCHED_SERIES);
    /* The rows of a process with one thread have one writer: plain adds, at an eighth of the price. A second
     * thread is counted before its first event, and records at its second at the earliest. */
    if (r->threads == 1)
        recorded = hist__record_local(&r->series[series], to - from);
    else
        recorded = hist__record_shared(&r->series[series], to - from);
    if (!recorded)
        sched__record_other(series, to - from);
}

static __always_inline void sched__enqueue(const bool btf, struct task_struct *p, struct task_entry *t, u64 now,
                                           u8 cause, u64 blocked_ns)
{
    t->state = TASK_STATE_QUEUED;
    t->since_ns = now;
    t->blocked_ns = blocked_ns;
    t->cause = task__throttled(btf, p) ? SONDE_RUNQ_THROTTLED : cause;
    t->throttle_queue = task__throttle_queue(btf, p);
    t->throttle_clock = task__throttle_clock(btf, p);
}

static __always_inline int sched__wakeup(const bool btf, struct task_struct *p, const bool is_new)
{
    u64 now = filter_kind == SONDE_FILTER_NONE ? bpf_ktime_get_ns() : 0;
    struct task_entry *t;
    u64 blocked_ns = 0;

    if (!counting)
        return 0;
    t = task__entry(btf, p, FIELD(btf, p, pid));
    if (!t)
        return 0;
    if (is_new)
        task__forget(t);
    if (!task__wanted(btf, p, t))
        return 0;
    /* Woken before it had left the CPU, or woken twice: the present interval goes on. */
    if (t->state == TASK_STATE_RUNNING || t->state == TASK_STATE_QUEUED)
        return 0;
    if (t->state == TASK_STATE_BLOCKED)
        blocked_ns = t->since_ns;
    else if (!is_new)
        task__drop(SONDE_SCHED_DROP_BEGAN_BEFORE);
    if (filter_kind != SONDE_FILTER_NONE)
        now = bpf_ktime_get_ns();
    sched__enqueue(btf, p, t, now, SONDE_RUNQ_WOKEN, blocked_ns);
    return 0;
}

/* An interval that ends and whose beginning we do not have: from before tracing, or because the kernel did not
 * report an event (some kernels leave out a switch in some ten thousand; ftrace shows the same gaps). */
static __always_inline void sched__unknown_interval(struct task_entry *t)
{
    task__drop(t->state == TASK_STATE_KNOWN ? SONDE_SCHED_DROP_BEGAN_BEFORE : SONDE_SCHED_DROP_EVENT_MISSING);
}

/* Since 5.18 the fourth argument of the tracepoint is the state with which prev called the scheduler; the task's own may
 * already be that of a wakeup on another CPU. */
const volatile bool switch_has_state = false;

static __always_inline void sched__switch_out(const bool btf, struct task_struct *p, struct task_entry *t,
                                              bool preempt, const u64 *arguments, u64 now)
{
    u32 state = switch_has_state ? arguments[3] : FIELD(btf, p, __state);
    struct sonde_sched_rows *r = bpf_map_lookup_elem(&rows, &t->slot);

    if (t->unnamed) {
        if (btf)
            process__name_current(t->slot);
        else
            process__name_current_raw(t->slot);
        t->unnamed = 0;
    }
    if (t->state == TASK_STATE_RUNNING && r)
        sched__record(r, SONDE_ONCPU, t->since_ns, now);
    else
        sched__unknown_interval(t);

    if (state & TASK_DEAD) {
        task__forget(t);
        t->pid = 0;
    } else if (preempt || state == 0) {
        sched__enqueue(btf, p, t, now, SONDE_RUNQ_PREEMPTED, 0);
    } else {
        t->state = TASK_STATE_BLOCKED;
        t->since_ns = now;
        t->series = btf ? offcpu__reason_of_current(state, &t->file) : offcpu__reason_raw(p);
    }
}

static __always_inline void sched__switch_in(const bool btf, struct task_struct *p, struct task_entry *t, u64 now)
{
    struct sonde_sched_rows *r = bpf_map_lookup_elem(&rows, &t->slot);

    if (t->state == TASK_STATE_QUEUED && r) {
        u8 cause = t->cause;

        /* On another queue, a task that has moved cannot tell. */
        if (task__throttle_queue(btf, p) == t->throttle_queue && task__throttle_clock(btf, p) != t->throttle_clock)
            cause = SONDE_RUNQ_THROTTLED;
        sched__record(r, cause, t->since_ns, now);
        if (t->blocked_ns)
            sched__record(r, t->series, t->blocked_ns, t->since_ns);
    } else {
        sched__unknown_interval(t);
    }
    t->state = TASK_STATE_RUNNING;
    t->since_ns = now;
}

static __always_inline int sched__switch(const bool btf, bool preempt, struct task_struct *prev,
                                         struct task_struct *next, const u64 *arguments)
{
    u64 now = filter_kind == SONDE_FILTER_NONE ? bpf_ktime_get_ns() : 0;
    struct task_entry *out = NULL, *in = NULL;
    u32 prev_pid = FIELD(btf, prev, pid);
    u32 next_pid = FIELD(btf, next, pid);

    if (!counting)
        return 0;
    /* pid 0 is the idle task of every CPU: not a task that waits for anything. */
    if (prev_pid) {
        out = task__entry(btf, prev, prev_pid);
        if (out && !task__wanted(btf, prev, out))
            out = NULL;
    }
    if (next_pid) {
        in = task__entry(btf, next, next_pid);
        if (in && !task__wanted(btf, next, in))
            in = NULL;
    }
    if (!out && !in)
        return 0;
    if (filter_kind != SONDE_FILTER_NONE)
        now = bpf_ktime_get_ns();
    if (out)
        sched__switch_out(btf, prev, out, preempt, arguments, now);
    if (in)
        sched__switch_in(btf, next, in, now);
    return 0;
}

/* A leader that takes a new name (exec, prctl). The name is not in place yet: it is read at the next switch. */
static __always_inline int sched__rename(const bool btf, struct task_struct *p)
{
    u32 pid = FIELD(btf, p, pid);
    struct task_entry *t;

    if (pid != (u32)FIELD(btf, p, tgid))
        return 0;
    t = task__entry(btf, p, pid);
    if (!t)
        return 0;
    t->unnamed = 1;
    if (filter_kind == SONDE_FILTER_COMM)
        __sync_fetch_and_add(&filter_epoch, 1);
    return 0;
}

/* exec in another thread than the leader: the thread goes on under the leader's pid, and what is known of it with it.
 * Otherwise the entry of its own pid would hold the slot until that pid is used again. */
static __always_inline int sched__exec(u32 old_pid, u32 pid)
{
    u32 from = old_pid & task_array_mask, to = pid & task_array_mask;
    struct task_entry *was, *is;

    if (from == to || task_store == SONDE_TASK_STORE_STORAGE)
        return 0;
    was = bpf_map_lookup_elem(&task_array, &from);
    is = bpf_map_lookup_elem(&task_array, &to);
    if (!was || !is || was->pid != old_pid)
        return 0;
    /* The leader has left the entry when it ended, unless its last switch is still to come. */
    if (was->state == TASK_STATE_RUNNING && is->state == TASK_STATE_NEW && (is->pid == pid || is->pid == 0)) {
        *is = *was;
        is->pid = pid;
        is->unnamed = 1;
        was->state = TASK_STATE_NEW;
    } else {
        task__forget(was);
    }
    was->pid = 0;
    return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(sonde_wakeup, struct task_struct *p) { return sched__wakeup(true, p, false); }

SEC("raw_tp/sched_wakeup")
int BPF_PROG(sonde_wakeup_raw, struct task_struct *p) { return sched__wakeup(false, p, false); }

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(sonde_wakeup_new, struct task_struct *p) { return sched__wakeup(true, p, true); }

SEC("raw_tp/sched_wakeup_new")
int BPF_PROG(sonde_wakeup_new_raw, struct task_struct *p) { return sched__wakeup(false, p, true); }

SEC("tp_btf/sched_switch")
int BPF_PROG(sonde_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
    return sched__switch(true, preempt, prev, next, ctx);
}

SEC("raw_tp/sched_switch")
int BPF_PROG(sonde_switch_raw, bool preempt, struct task_struct *prev, struct task_struct *next)
{
    return sched__switch(false, preempt, prev, next, ctx);
}

SEC("tp_btf/task_rename")
int BPF_PROG(sonde_rename, struct task_struct *p) { return sched__rename(true, p); }

SEC("raw_tp/task_rename")
int BPF_PROG(sonde_rename_raw, struct task_struct *p) { return sched__rename(false, p); }

SEC("tp_btf/sched_process_exec")
int BPF_PROG(sonde_exec, struct task_struct *p, pid_t old_pid) { return sched__exec(old_pid, p->pid); }

SEC("raw_tp/sched_process_exec")
int BPF_PROG(sonde_exec_raw, struct task_struct *p, pid_t old_pid)
{
    return sched__exec(old_pid, BPF_CORE_READ(p, pid));
}

/* A task that moves to another cgroup may enter or leave the traced one. */
SEC("raw_tp/cgroup_attach_task")
int sonde_cgroup_attach(void *ctx)
{
    __sync_fetch_and_add(&filter_epoch, 1);
    return 0;
}
