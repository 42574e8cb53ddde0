// SPDX-License-Identifier: Apache-2.0
//
// Block I/O on a loop device of our own: every request is counted once, with its bytes and its time.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "tests/kernel/block_devices.h"
#include "tests/kernel/load_run.h"
#include "tests/kernel/tracer.h"

namespace sonde::test {
namespace {

using nlohmann::json;

constexpr uint64_t kRequestBytes = 4096;
constexpr const char* kNotAccounted =
    "the kernel did not account it (iostats off, or a command of the driver): total and queue time unknown";
constexpr const char* kIssuedBefore = "issued before tracing: queue and device time unknown";

class Block : public KernelTest, public ::testing::WithParamInterface<Hooks> {
  protected:
    struct Measured {
        json truth;
        Snapshot snapshot;
    };

    [[nodiscard]] Hooks hooks() const override { return GetParam(); }
    static TracerConfig config()
    {
        TracerConfig config;
        config.probe = ProbeKind::kBlock;
        config.hooks = GetParam();
        return config;
    }

    // Runs a load whose requests are all of one kind, as `op`.
    [[nodiscard]] Measured measure(const std::string& load, uint64_t count, const std::string& op,
                                   const std::string& stage = "total") const
    {
        std::vector<std::string> arguments{load, "--file", loop_.path(), "--count", amount(count)};
        if (op != "read") {
            arguments.emplace_back("--overwrite");
        }
        const auto once = [&] {
            Tracer tracer(config());
            Measured measured;
            measured.truth = run_load(arguments);
            measured.snapshot = tracer.stop();
            return measured;
        };
        return measure_complete(once, [&](const Measured& measured) {
            return latency(measured.snapshot, op, stage).count() == measured.truth["count"];
        });
    }

    [[nodiscard]] Histogram latency(const Snapshot& snapshot, const std::string& op, const std::string& stage) const
    {
        return histogram(snapshot, kBlockLatency, {{"device", loop_.name()}, {"op", op}, {"stage", stage}});
    }
    [[nodiscard]] uint64_t bytes(const Snapshot& snapshot, const std::string& op) const
    {
        return counter(snapshot, kBlockBytes, {{"device", loop_.name()}, {"op", op}});
    }
    // Queue and device are the two parts of total.
    void expect_stages_add_up(const Snapshot& snapshot, const std::string& op) const
    {
        const Histogram total = latency(snapshot, op, "total");
        const Histogram queue = latency(snapshot, op, "queue");
        const Histogram device = latency(snapshot, op, "device");
        EXPECT_EQ(queue.count(), total.count());
        EXPECT_EQ(device.count(), total.count());
        EXPECT_NEAR(seconds(queue) + seconds(device), seconds(total), 1e-3 * seconds(total));
    }

    LoopDevice loop_;
};

INSTANTIATE_TEST_SUITE_P(, Block, ::testing::Values(Hooks::kBest, Hooks::kRaw),
                         [](const ::testing::TestParamInfo<Hooks>& hooks) {
                             return hooks.param == Hooks::kRaw ? "RawTracepoints" : "Best";
                         });

TEST_P(Block, EveryReadIsCountedWithItsBytes)
{
    const Measured read = measure("direct-read", 4000, "read");
    const auto count = read.truth["count"].get<uint64_t>();
    EXPECT_EQ(latency(read.snapshot, "read", "total").count(), count) << describe(read.snapshot);
    EXPECT_EQ(bytes(read.snapshot, "read"), read.truth["bytes"].get<uint64_t>());
    EXPECT_EQ(bytes(read.snapshot, "write"), 0U);
    expect_stages_add_up(read.snapshot, "read");
}

TEST_P(Block, EveryWriteIsCountedWithItsBytes)
{
    const Measured write = measure("direct-write", 2000, "write");
    EXPECT_EQ(latency(write.snapshot, "write", "total").count(), write.truth["count"].get<uint64_t>());
    EXPECT_EQ(bytes(write.snapshot, "write"), write.truth["bytes"].get<uint64_t>());
    expect_stages_add_up(write.snapshot, "write");
}

TEST_P(Block, EveryFdatasyncIsAWriteAndAFlush)
{
    const Measured sync = measure("fsync", 400, "flush");
    const auto count = sync.truth["count"].get<uint64_t>();
    EXPECT_EQ(latency(sync.snapshot, "flush", "total").count(), count);
    EXPECT_EQ(latency(sync.snapshot, "write", "total").count(), count);
    EXPECT_EQ(bytes(sync.snapshot, "write"), count * kRequestBytes);
    EXPECT_EQ(bytes(sync.snapshot, "flush"), 0U);
}

TEST_P(Block, EveryDiscardIsCountedWithItsBytes)
{
    constexpr uint64_t kDiscards = 20;
    constexpr uint64_t kBytes = 1 << 20;
    Tracer tracer(config());
    for (uint64_t i = 0; i < kDiscards; ++i) {
        loop_.discard(i * kBytes, kBytes);
    }
    const Snapshot snapshot = tracer.stop();
    EXPECT_EQ(latency(snapshot, "discard", "total").count(), kDiscards);
    EXPECT_EQ(bytes(snapshot, "discard"), kDiscards * kBytes);
    expect_stages_add_up(snapshot, "discard");
}

// A request takes less time than the system call that waits for it.
TEST_P(Block, TimesAreBelowThoseThatTheProgramSees)
{
    const Measured read = measure("direct-read", 4000, "read");
    const Histogram total = latency(read.snapshot, "read", "total");
    const json& seen = read.truth["latency_ns"];
    EXPECT_LT(total.sum_ns, seen["sum"].get<uint64_t>());
    EXPECT_LE(total.max_ns, seen["max"].get<uint64_t>());
    EXPECT_LE(*total.quantile(0.5) * 1e9, seen["p50"].get<double>() * (1 + Histogram::kRelativeError));
}

// When the device is slow, nearly all of what the program waits for is the request: here it takes 20 ms and more.
TEST_P(Block, TimesOfSlowRequestsAreThoseThatTheProgramSees)
{
    Tracer tracer(config());
    std::vector<double> seen_ns;
    for (int i = 0; i < 3; ++i) {
        WritesHeld held(loop_.backing_fd());
        if (!held.works()) {
            GTEST_SKIP() << "needs userfaultfd";
        }
        LoadRun load({"direct-write", "--file", loop_.path(), "--count", "1", "--overwrite"});
        load.release();
        ASSERT_TRUE(poll_until([this] { return loop_.in_flight() == 1; }));
        usleep(20'000);
        held.release();
        seen_ns.push_back(load.report()["latency_ns"]["sum"].get<double>());
    }
    const Histogram total = latency(tracer.stop(), "write", "total");
    const double all_seen_ns = seen_ns[0] + seen_ns[1] + seen_ns[2];
    EXPECT_EQ(total.count(), 3U);
    EXPECT_GE(total.min_ns, 20'000'000U);
    EXPECT_LE(static_cast<double>(total.sum_ns), all_seen_ns);
    EXPECT_GE(static_cast<double>(total.sum_ns), 0.7 * all_seen_ns);
}

TEST_P(Block, ARequestInFlightAtTheStartHasATotalButNoStages)
{
    WritesHeld held(loop_.backing_fd());
    if (!held.works()) {
        GTEST_SKIP() << "needs userfaultfd";
    }
    LoadRun load({"direct-write", "--file", loop_.path(), "--count", "1", "--overwrite"});
    load.release();
    ASSERT_TRUE(poll_until([this] { return loop_.in_flight() == 1; }));
    Tracer tracer(config());
    held.release();
    const json truth = load.report();
    const Snapshot snapshot = tracer.stop();

    const Histogram total = latency(snapshot, "write", "total");
    EXPECT_EQ(total.count(), 1U);
    EXPECT_LE(total.max_ns, truth["latency_ns"]["max"].get<uint64_t>());
    EXPECT_GE(total.max_ns, truth["latency_ns"]["max"].get<uint64_t>() / 2);  // the time before tracing is in it
    EXPECT_EQ(latency(snapshot, "write", "queue").count(), 0U);
    EXPECT_EQ(latency(snapshot, "write", "device").count(), 0U);
    EXPECT_GE(discarded(snapshot, "block I/O latency", kIssuedBefore), 1U);
    EXPECT_EQ(bytes(snapshot, "write"), kRequestBytes);
}

// Since 6.13 such a request still bears the time of an earlier one, here of one that is a second old.
TEST_P(Block, WithoutIostatsOnlyTheTimeInTheDeviceIsKnown)
{
    run_load({"direct-read", "--file", loop_.path(), "--count", "100"});
    std::this_thread::sleep_for(std::chrono::seconds(1));
    loop_.set_iostats(false);
    const Measured read = measure("direct-read", 200, "read", "device");
    const auto count = read.truth["count"].get<uint64_t>();
    EXPECT_EQ(latency(read.snapshot, "read", "device").count(), count);
    EXPECT_EQ(latency(read.snapshot, "read", "total").count(), 0U);
    EXPECT_EQ(latency(read.snapshot, "read", "queue").count(), 0U);
    EXPECT_EQ(bytes(read.snapshot, "read"), count * kRequestBytes);
    EXPECT_GE(discarded(read.snapshot, "block I/O latency", kNotAccounted), count);
}

TEST_P(Block, RequestsInFlightTogetherKeepTheirStages)
{
    constexpr uint64_t kRequests = 6;
    WritesHeld held(loop_.backing_fd());
    if (!held.works()) {
        GTEST_SKIP() << "needs userfaultfd";
    }
    std::deque<LoadRun> loads;
    Tracer tracer(config());
    for (uint64_t i = 0; i < kRequests; ++i) {
        loads.emplace_back(
            std::vector<std::string>{"direct-write", "--file", loop_.path(), "--count", "1", "--overwrite"});
        loads.back().release();
        ASSERT_TRUE(poll_until([&] { return loop_.in_flight() == i + 1; }));
    }
    held.release();
    for (LoadRun& load : loads) {
        load.report();
    }
    const Snapshot snapshot = tracer.stop();
    EXPECT_EQ(latency(snapshot, "write", "total").count(), kRequests) << describe(snapshot);
    expect_stages_add_up(snapshot, "write");
}

// A flush is issued by a kernel worker, but belongs to the thread that asked for it, and so does the write behind it.
TEST_P(Block, FlushesBelongToWhoAskedForThem)
{
    const std::string name = fresh_name();
    const auto once = [&] {
        TracerConfig mine = config();
        mine.filter = comm_filter(name);
        Tracer tracer(mine);
        run_load({"fsync", "--file", loop_.path(), "--count", "50", "--overwrite"});  // somebody else's
        Measured measured;
        measured.truth = run_load({"fsync", "--file", loop_.path(), "--count", "100", "--overwrite", "--comm", name});
        measured.snapshot = tracer.stop();
        return measured;
    };
    const Measured sync = measure_complete(once, [&](const Measured& measured) {
        return latency(measured.snapshot, "flush", "total").count() == measured.truth["count"];
    });
    const auto count = sync.truth["count"].get<uint64_t>();
    EXPECT_EQ(latency(sync.snapshot, "write", "total").count(), count) << describe(sync.snapshot);
    if (!KernelFeatures::probe("")->tracepoints.contains("block_io_start")) {
        const ProbeStatus& status = status_of_measurement(sync.snapshot, "block I/O latency");
        EXPECT_EQ(status.state, ProbeState::kDegraded);
        EXPECT_NE(status.reason.find("flushes do not show"), std::string::npos) << status.reason;
        return;
    }
    EXPECT_EQ(latency(sync.snapshot, "flush", "total").count(), count) << describe(sync.snapshot);
}

TEST_P(Block, TwoSessionsCountTheSame)
{
    Tracer first(config());
    Tracer second(config());
    const json truth = run_load({"direct-read", "--file", loop_.path(), "--count", "500"});
    const Snapshot a = first.stop();
    const Snapshot b = second.stop();
    EXPECT_NEAR(static_cast<double>(latency(a, "read", "total").count()), truth["count"].get<double>(), 1);
    EXPECT_EQ(latency(a, "read", "total").count(), latency(b, "read", "total").count());
}

// On a real disk, with everything else that uses it filtered away.
TEST_P(Block, MedianOfADiskIsCloseToWhatTheProgramSees)
{
    const ScratchDisk disk;
    if (!disk.usable()) {
        GTEST_SKIP() << "needs a disk: TMPDIR is in memory and SONDE_TEST_DISK is not set";
    }
    const std::string name = fresh_name();
    const auto reads = [](const Measured& measured) {
        return histogram(measured.snapshot, kBlockLatency, {{"op", "read"}, {"stage", "total"}});
    };
    const auto once = [&] {
        TracerConfig mine = config();
        mine.filter = comm_filter(name);
        Tracer tracer(mine);
        Measured measured;
        measured.truth = run_load({"direct-read", "--file", disk.path(), "--count", amount(2000), "--comm", name});
        measured.snapshot = tracer.stop();
        return measured;
    };
    const auto is_near = [&](const Measured& measured) {  // file system metadata is read, too
        return std::abs(static_cast<double>(reads(measured).count()) - measured.truth["count"].get<double>()) <= 20;
    };
    // While others use the disk, a completion may interrupt the program that handles another; the kernel then drops it.
    const Measured read = measure_complete(once, is_near);
    EXPECT_TRUE(is_near(read)) << describe(read.snapshot);
    const Histogram total = reads(read);
    const json& truth = read.truth;
    const auto seen_p50 = truth["latency_ns"]["p50"].get<double>();
    EXPECT_LE(*total.quantile(0.5) * 1e9, seen_p50 * (1 + Histogram::kRelativeError));
    EXPECT_GE(*total.quantile(0.5) * 1e9, 0.5 * seen_p50);  // a fast disk: the program's own way is as long
}

}  // namespace
}  // namespace sonde::test
