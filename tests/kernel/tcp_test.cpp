// SPDX-License-Identifier: Apache-2.0
//
// TCP over loopback: round-trip times, connects, accepts, refusals, resets.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "tests/kernel/listener.h"
#include "tests/kernel/load_run.h"
#include "tests/kernel/tracer.h"

namespace sonde::test {
namespace {

using nlohmann::json;

// A connection's last samples may stay unseen (see tcp.bpf.c), and a retransmitted segment gives none.
constexpr double kLostPerSide = 2;
// Samples of other connections of this host that a test tolerates where it cannot tell them apart.
constexpr double kOthers = 500;

std::string port_of(const json& truth)
{
    return std::to_string(truth["server_port"].get<int>());
}

Histogram of_port(const Snapshot& snapshot, const std::string& metric, const std::string& port)
{
    return histogram(snapshot, metric, {{"port", port}, {"peer", "loopback"}});
}

class Tcp : public KernelTest, public ::testing::WithParamInterface<Hooks> {
  protected:
    [[nodiscard]] Hooks hooks() const override { return GetParam(); }
    struct Measured {
        json truth;
        Snapshot snapshot;
    };
    template <class IsComplete>
    static Measured measure(const std::vector<std::string>& arguments, IsComplete is_complete)
    {
        const auto once = [&] {
            Tracer tracer(config());
            Measured measured;
            measured.truth = run_load(arguments);
            measured.snapshot = tracer.stop();
            return measured;
        };
        return measure_complete(once, is_complete);
    }

    static TracerConfig config()
    {
        TracerConfig config;
        config.probe = ProbeKind::kTcp;
        config.hooks = GetParam();
        return config;
    }
};

INSTANTIATE_TEST_SUITE_P(, Tcp, ::testing::Values(Hooks::kBest, Hooks::kNoFentry, Hooks::kRaw),
                         [](const ::testing::TestParamInfo<Hooks>& hooks) {
                             return hooks.param == Hooks::kRaw    ? "RawTracepoints"
                                    : hooks.param == Hooks::kBest ? "Best"
                                                                  : "NoFentry";
                         });

// Each transaction acknowledges one segment of either side.
void expect_a_sample_per_transaction(const Snapshot& snapshot, const json& truth)
{
    const auto count = truth["count"].get<double>();
    const Histogram server = of_port(snapshot, kRtt, port_of(truth));
    const Histogram client = of_port(snapshot, kRtt, "ephemeral");  // and any other connection of this host
    EXPECT_NEAR(static_cast<double>(server.count()), count, kLostPerSide);
    EXPECT_GE(static_cast<double>(client.count()), count - kLostPerSide);
    EXPECT_LE(static_cast<double>(client.count()), count + kLostPerSide + kOthers);
    // The kernel counts in whole microseconds.
    EXPECT_LE(static_cast<double>(server.sum_ns), truth["latency_ns"]["sum"].get<double>() + count * 1000);
    EXPECT_LE(*server.quantile(0.5) * 1e9, truth["latency_ns"]["p50"].get<double>() * 1.05 + 1000);
    EXPECT_GT(server.sum_ns, 0U);
}

TEST_P(Tcp, EveryTransactionIsARoundTripOnBothSides)
{
    Tracer tracer(config());
    const json truth = run_load({"tcp-rr", "--count", "1000"});
    expect_a_sample_per_transaction(tracer.stop(), truth);
}

TEST_P(Tcp, Ipv6CountsLikeIpv4)
{
    Tracer tracer(config());
    LoadRun load({"tcp-rr", "--ipv6", "--count", "1000"});
    load.release();
    json truth;
    try {
        truth = load.report();
    } catch (const std::runtime_error&) {
        GTEST_SKIP() << "needs IPv6 on lo";
    }
    expect_a_sample_per_transaction(tracer.stop(), truth);
}

TEST_P(Tcp, AConnectionFromBeforeTracingIsCounted)
{
    LoadRun load({"tcp-rr", "--existing-delay", "30000", "--count", "1000"});
    load.release();
    load.wait_ready();
    Tracer tracer(config());
    load.signal(SIGUSR1);
    const json truth = load.report();
    expect_a_sample_per_transaction(tracer.stop(), truth);
}

TEST_P(Tcp, EveryConnectIsTimed)
{
    const auto [truth, snapshot] = measure({"tcp-connect", "--count", "300"}, [](const Measured& each) {
        return of_port(each.snapshot, kConnect, port_of(each.truth)).count() == each.truth["count"];
    });
    const Histogram connect = of_port(snapshot, kConnect, port_of(truth));
    EXPECT_EQ(connect.count(), truth["count"].get<uint64_t>());
    EXPECT_LE(connect.sum_ns, truth["latency_ns"]["sum"].get<uint64_t>());
    EXPECT_GT(connect.min_ns, 1000U);
    EXPECT_EQ(counter(snapshot, "sonde_tcp_connect_failures_total", {{"port", port_of(truth)}}), 0U);
}

TEST_P(Tcp, EveryAcceptIsTimed)
{
    constexpr uint64_t kDelayUs = 3000;
    const auto [truth, snapshot] = measure(
        {"tcp-connect", "--count", "50", "--accept-delay-us", std::to_string(kDelayUs)}, [](const Measured& each) {
            return of_port(each.snapshot, kAccept, port_of(each.truth)).count() == each.truth["count"];
        });
    const Histogram accept = of_port(snapshot, kAccept, port_of(truth));
    EXPECT_EQ(accept.count(), truth["count"].get<uint64_t>());
    EXPECT_GE(accept.min_ns, kDelayUs * 1000);
    // The server sees each connection after it has come, so its account is a lower bound.
    const json& server = truth["tasks"][1];
    ASSERT_EQ(server["role"], "server");
    EXPECT_GE(accept.sum_ns, server["blocked_ns"].get<uint64_t>() * 95 / 100);
    EXPECT_LE(accept.sum_ns, server["elapsed_ns"].get<uint64_t>());
}

TEST_P(Tcp, RefusedConnectsAreFailures)
{
    const auto failures = [](const Measured& each) {
        return counter(each.snapshot, "sonde_tcp_connect_failures_total", {{"port", port_of(each.truth)}});
    };
    const Measured load = measure({"tcp-connect", "--refused", "--count", "100"},
                                  [&](const Measured& each) { return failures(each) == each.truth["refused"]; });
    const auto& [truth, snapshot] = load;
    EXPECT_EQ(failures(load), truth["refused"].get<uint64_t>());
    EXPECT_EQ(of_port(snapshot, kConnect, port_of(truth)).count(), 0U);
    EXPECT_GE(counter(snapshot, "sonde_tcp_resets_total", {{"direction", "received"}}) + 1,
              truth["refused"].get<uint64_t>());
}

// Its SYN finds the queue of the listener full; the one that TCP sends after a second does not.
TEST_P(Tcp, AConnectUnderWayWhenTracingBeganIsDiscardedAndItsRoundTripsCount)
{
    constexpr uint64_t kBytes = 20;
    Listener listener(0);
    const UniqueFd first = listener.connect();  // a queue of 0 has room for one
    UniqueFd under_way = listener.connect(SOCK_NONBLOCK);
    pollfd writable{under_way.get(), POLLOUT, 0};
    ASSERT_EQ(poll(&writable, 1, 100), 0) << "the listen queue is not full";

    Tracer tracer(config());
    ASSERT_TRUE(listener.accept());
    ASSERT_EQ(poll(&writable, 1, 10'000), 1);
    const UniqueFd server = listener.accept();
    ASSERT_TRUE(server);
    for (uint64_t i = 0; i < kBytes; ++i) {
        char byte = 'q';
        ASSERT_EQ(write(under_way.get(), &byte, 1), 1);
        ASSERT_EQ(read(server.get(), &byte, 1), 1);
        ASSERT_EQ(write(server.get(), &byte, 1), 1);
        pollfd readable{under_way.get(), POLLIN, 0};
        ASSERT_EQ(poll(&readable, 1, 10'000), 1);
        ASSERT_EQ(read(under_way.get(), &byte, 1), 1);
    }
    under_way.reset();
    const Snapshot snapshot = tracer.stop();
    const std::string port = std::to_string(listener.port());
    EXPECT_GE(discarded(snapshot, "TCP connect latency", "began before tracing"), 1U);
    EXPECT_EQ(discarded(snapshot, "TCP connect latency", "owner not known yet"), 0U);
    EXPECT_EQ(of_port(snapshot, kConnect, port).count(), 0U);
    EXPECT_NEAR(static_cast<double>(of_port(snapshot, kRtt, port).count()), kBytes, kLostPerSide);
    EXPECT_GE(static_cast<double>(of_port(snapshot, kRtt, "ephemeral").count()), kBytes - kLostPerSide);
}

TEST_P(Tcp, ResetsAreCountedOnBothSides)
{
    constexpr uint64_t kResets = 20;
    Listener listener(8);
    Tracer tracer(config());
    for (uint64_t i = 0; i < kResets; ++i) {
        UniqueFd client = listener.connect();
        const UniqueFd server = listener.accept();
        const linger abort_on_close{1, 0};
        ASSERT_EQ(setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof(abort_on_close)), 0);
        client.reset();
        char byte = 0;
        ASSERT_EQ(read(server.get(), &byte, 1), -1);
        ASSERT_EQ(errno, ECONNRESET);
    }
    const Snapshot snapshot = tracer.stop();
    for (const char* direction : {"sent", "received"}) {  // of the whole host
        const uint64_t n = counter(snapshot, "sonde_tcp_resets_total", {{"direction", direction}});
        EXPECT_GE(n + 1, kResets) << direction;
        EXPECT_LE(n, kResets + 50) << direction;
    }
}

TEST_P(Tcp, NothingIsLostOfConnectionsWithinTheSession)
{
    Tracer tracer(config());
    run_load({"tcp-connect", "--count", "100"});
    const Snapshot snapshot = tracer.stop();
    for (const char* reason : {"no memory for socket state", "owner not known yet", "clock went backward"}) {
        EXPECT_EQ(discarded(snapshot, "TCP connect latency", reason), 0U) << reason;
    }
}

class TcpHost : public KernelTest {};

TEST_F(TcpHost, AFullListenQueueIsCounted)
{
    Tracer tracer({.probe = ProbeKind::kTcp});
    const json truth = run_load({"listen-overflow", "--count", "10", "--seconds", "0.3"});
    const Snapshot snapshot = tracer.stop();
    ASSERT_GT(truth["host_listen_overflows"].get<uint64_t>(), 0U);
    EXPECT_GE(counter(snapshot, "sonde_tcp_listen_overflows_total", {}),
              truth["host_listen_overflows"].get<uint64_t>());
    EXPECT_GE(counter(snapshot, "sonde_tcp_listen_drops_total", {}), truth["host_listen_drops"].get<uint64_t>());
}

}  // namespace
}  // namespace sonde::test
