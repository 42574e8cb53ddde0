// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "userspace/probes/probe.h"

namespace sonde {
namespace {

constexpr uint64_t kMegabyte = 1000000;
constexpr uint32_t kSmallPidMax = 32768;
constexpr uint32_t kLargePidMax = 4194304;  // the default of a 64-bit kernel with systemd

KernelFeatures with_task_storage()
{
    KernelFeatures features;
    features.task_storage = features.typed_tracepoints = {true, ""};
    return features;
}

ProbeOptions host(uint32_t cpus, uint32_t processes, uint32_t pid_max)
{
    ProbeOptions options;
    options.cpus = cpus;
    options.processes = processes;
    options.pid_max = pid_max;
    return options;
}

MapSizes sizes_for(uint32_t pid_max, TaskStore store, const KernelFeatures& features)
{
    ProbeOptions options = host(8, 300, pid_max);
    options.task_store = store;
    return choose_sizes(options, features);
}

void expect_array(const MapSizes& sizes, uint32_t entries)
{
    EXPECT_FALSE(sizes.task_storage);
    EXPECT_EQ(sizes.task_entries, entries);
}

void expect_storage(const MapSizes& sizes)
{
    EXPECT_TRUE(sizes.task_storage);
    EXPECT_EQ(sizes.task_entries, 1U);
}

TEST(MemoryPlan, FewPidsFitIntoAnArray)
{
    expect_array(sizes_for(kSmallPidMax, TaskStore::kAuto, with_task_storage()), kSmallPidMax);
    expect_array(sizes_for(65536, TaskStore::kAuto, with_task_storage()), 65536);
}

TEST(MemoryPlan, ManyPidsTakeTaskStorage)
{
    expect_storage(sizes_for(65537, TaskStore::kAuto, with_task_storage()));
    expect_storage(sizes_for(kLargePidMax, TaskStore::kAuto, with_task_storage()));
    expect_storage(sizes_for(UINT32_MAX, TaskStore::kAuto, with_task_storage()));
}

TEST(MemoryPlan, TheStoreCanBeForced)
{
    expect_storage(sizes_for(kSmallPidMax, TaskStore::kStorage, with_task_storage()));
    expect_array(sizes_for(kLargePidMax, TaskStore::kArray, with_task_storage()), 131072);
    expect_array(sizes_for(kSmallPidMax, TaskStore::kArray, with_task_storage()), kSmallPidMax);
}

TEST(MemoryPlan, WithoutTaskStorageOrTypedProgramsItIsAnArrayWhateverWasAskedFor)
{
    KernelFeatures no_storage = with_task_storage();
    no_storage.task_storage = {false, "not supported"};
    KernelFeatures no_typed = with_task_storage();
    no_typed.typed_tracepoints = {false, "not supported"};
    for (const KernelFeatures& features : {no_storage, no_typed, KernelFeatures()}) {
        for (const TaskStore store : {TaskStore::kAuto, TaskStore::kArray, TaskStore::kStorage}) {
            expect_array(sizes_for(kLargePidMax, store, features), 131072);
            expect_array(sizes_for(UINT32_MAX, store, features), 131072);
            expect_array(sizes_for(kSmallPidMax, store, features), kSmallPidMax);
        }
    }
}

TEST(MemoryPlan, TheArrayIsAPowerOfTwoThatHoldsEveryPid)
{
    const std::pair<uint32_t, uint32_t> cases[] = {{301, 512},     {1024, 1024},    {1025, 2048},
                                                   {32769, 65536}, {65537, 131072}, {131073, 131072}};
    for (const auto& [pid_max, entries] : cases) {
        expect_array(sizes_for(pid_max, TaskStore::kArray, with_task_storage()), entries);
    }
}

TEST(MemoryPlan, ThereAreSlotsForTwiceTheProcessesWithinLimits)
{
    const std::pair<uint32_t, uint32_t> cases[] = {{0, 2048},    {1024, 2048},  {1025, 4096},    {2048, 4096},
                                                   {4000, 8192}, {8192, 16384}, {100000, 16384}, {4194304, 16384}};
    for (const auto& [processes, slots] : cases) {
        const MapSizes sizes = choose_sizes(host(8, processes, kLargePidMax), with_task_storage());
        EXPECT_EQ(sizes.processes, slots) << processes;
        EXPECT_EQ(sizes.sched_chunks, slots * 24) << processes;
    }
}

TEST(MemoryPlan, BlockAndTcpGrowWithTheCpus)
{
    EXPECT_EQ(choose_sizes(host(1, 100, kSmallPidMax), with_task_storage()).local_chunks, 4096U + 512);
    EXPECT_EQ(choose_sizes(host(128, 100, kSmallPidMax), with_task_storage()).local_chunks, 4096U + 128 * 512);
}

// What one more of each costs. A row of a histogram has 5 * 8 + 41 * 4 + 4 = 208 bytes, a chunk 16 * 8 = 128.
TEST(MemoryPlan, CountsTheBytesOfEachElement)
{
    const MapSizes base{2048, 49152, 4608, 1, true};
    const auto more = [&](MapSizes sizes, uint32_t cpus, uint32_t threads) {
        return map_bytes(sizes, cpus, threads) - map_bytes(base, 4, 100);
    };
    EXPECT_EQ(more(base, 4, 101), 160U);
    EXPECT_EQ(more({2049, 49152, 4608, 1, true}, 4, 100), (64 + 10 * 192) + 24U + 80 + 4);
    EXPECT_EQ(more({2048, 49153, 4608, 1, true}, 4, 100), 128U + 4);
    EXPECT_EQ(more({2048, 49152, 4609, 1, true}, 4, 100), 2 * 128U);
    EXPECT_EQ(more({2048, 49152, 4608, 1025, true}, 4, 100), 1024 * 64U);
    // Rows per CPU: 32 devices of 5 operations of 3 stages; 64 ports of 3 series and 2 counters of 4 classes.
    EXPECT_EQ(more(base, 5, 100), 32U * 5 * (3 * 192 + 64) + 64 * (4 * 4 * 192 + 2 * 4 * 8));
}

TEST(MemoryPlan, ThreadsCostNothingInAnArray)
{
    const MapSizes array{2048, 49152, 4608, 32768, false};
    EXPECT_EQ(map_bytes(array, 4, 0), map_bytes(array, 4, 40000));
}

TEST(MemoryPlan, DoesNotOverflow)
{
    const MapSizes sizes{16384, 393216, 4096 + 512 * 8192, 1, true};
    EXPECT_GT(map_bytes(sizes, 8192, 100000000), uint64_t{100000000} * 160);
}

TEST(MemoryPlan, ALargeHostTakesAtMost128Megabytes)
{
    const MapSizes sizes = choose_sizes(host(128, 4000, kLargePidMax), with_task_storage());
    EXPECT_LE(map_bytes(sizes, 128, 40000), 128 * kMegabyte);
    EXPECT_GT(map_bytes(sizes, 128, 40000), 64 * kMegabyte);  // else it no longer counts everything
    const MapSizes without_storage = choose_sizes(host(128, 4000, kLargePidMax), KernelFeatures());
    EXPECT_LE(map_bytes(without_storage, 128, 40000), 128 * kMegabyte);
}

TEST(MemoryPlan, ASmallHostTakesAtMost32Megabytes)
{
    for (const uint32_t pid_max : {kSmallPidMax, kLargePidMax}) {
        for (const KernelFeatures& features : {with_task_storage(), KernelFeatures()}) {
            const MapSizes sizes = choose_sizes(host(2, 200, pid_max), features);
            EXPECT_LE(map_bytes(sizes, 2, 2000), 32 * kMegabyte) << pid_max;
        }
    }
}

}  // namespace
}  // namespace sonde
