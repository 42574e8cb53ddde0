// SPDX-License-Identifier: Apache-2.0
//
// sonde-bench-calls: functions that are called a known number of times, for what tracing adds to a call. Prints "ready",
// then reads lines "FUNCTION CALLS" and answers each with a line of JSON. Calls come in bursts, far enough apart that
// there are no more than CALLS_PER_SEC. The answer is the median over the bursts of the CPU time per call. Ends with its
// input.
//
// The functions differ in how they can be probed: by the instruction that each begins with, and by how it ends. Which
// that is depends on the compiler and its flags (see CMakeLists.txt); bench.py shows what sonde found.
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALLS_PER_SEC = 10000, BURST = 200, STEPS = 20, PERIOD_NS = 1000000000 / CALLS_PER_SEC * BURST };

#define SEPARATE __attribute__((noinline, used))

static uint64_t steps(uint64_t value)
{
    for (int i = 0; i < STEPS; ++i) {
        value = (value ^ value >> 29) * 6364136223846793005u + 1;
    }
    return value;
}

SEPARATE uint64_t work(uint64_t value) { return steps(value); }

// It calls, so it sets up a frame first: push.
SEPARATE uint64_t framed(uint64_t value)
{
    return work(value) ^ 1;
}

// It calls nothing, so it begins with its work.
SEPARATE uint64_t leaf(uint64_t value)
{
    return steps(value) ^ 1;
}

// It ends by a jump to another function, so that a return probe is needed.
SEPARATE uint64_t jumps(uint64_t value)
{
    return work(work(value) ^ 1);
}

static const struct {
    const char* name;
    uint64_t (*function)(uint64_t);
} kFunctions[] = {{"framed", framed}, {"leaf", leaf}, {"jumps", jumps}};

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int by_size(const void* left, const void* right)
{
    const int64_t a = *(const int64_t*)left, b = *(const int64_t*)right;
    return (a > b) - (a < b);
}

static void run(uint64_t (*function)(uint64_t), int calls)
{
    const int bursts = (calls + BURST - 1) / BURST;
    int64_t* took_ns = calloc((size_t)bursts, sizeof(*took_ns));
    if (took_ns == NULL) {
        exit(1);
    }
    uint64_t value = 1;
    for (int i = 0; i < bursts; ++i) {
        const int64_t next_ns = now_ns(CLOCK_MONOTONIC) + PERIOD_NS;
        const int64_t begin_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
        for (int call = 0; call < BURST; ++call) {
            value = function(value);
        }
        took_ns[i] = now_ns(CLOCK_THREAD_CPUTIME_ID) - begin_ns;
        while (now_ns(CLOCK_MONOTONIC) < next_ns) { // awake, so that the CPU stays as it is
        }
    }
    qsort(took_ns, (size_t)bursts, sizeof(*took_ns), by_size);
    printf("{\"calls\": %d, \"ns_per_call\": %.1f, \"value\": %" PRIu64 "}\n", bursts * BURST,
           (double)took_ns[bursts / 2] / BURST, value);
    free(took_ns);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    char name[32];
    int calls;
    while (scanf("%31s %d", name, &calls) == 2) {
        for (size_t i = 0; i < sizeof(kFunctions) / sizeof(kFunctions[0]); ++i) {
            if (strcmp(name, kFunctions[i].name) == 0) {
                run(kFunctions[i].function, calls);
            }
        }
    }
    return 0;
}
