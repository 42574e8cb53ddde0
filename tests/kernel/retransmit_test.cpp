// SPDX-License-Identifier: Apache-2.0
//
// Retransmits on a lossy link, against the kernel's own count. In a network namespace, so that the loss and the count
// are ours alone.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "tests/kernel/listener.h"
#include "tests/kernel/load_run.h"
#include "tests/kernel/tracer.h"
#include "userspace/base/unique_fd.h"

namespace sonde::test {
namespace {

using nlohmann::json;

// A new network namespace for this process (tests have one thread), left at the end.
class NetworkNamespace {
  public:
    NetworkNamespace() : before_(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC))
    {
        if (!before_ || unshare(CLONE_NEWNET) != 0) {
            throw std::runtime_error("cannot make a network namespace");
        }
    }
    ~NetworkNamespace() { setns(before_.get(), CLONE_NEWNET); }
    NetworkNamespace(const NetworkNamespace&) = delete;
    NetworkNamespace& operator=(const NetworkNamespace&) = delete;

  private:
    UniqueFd before_;
};

bool run_quietly(const std::string& command)
{
    return system((command + " >/dev/null 2>&1").c_str()) == 0;
}

// A counter of the namespace, from the two lines (names, then values) of its group in /proc/net/snmp or netstat.
uint64_t kernel_counter(const std::string& file, const std::string& group, const std::string& wanted)
{
    std::ifstream lines("/proc/thread-self/net/" + file);
    for (std::string names, values; std::getline(lines, names) && std::getline(lines, values);) {
        std::istringstream name_stream(names);
        std::istringstream value_stream(values);
        for (std::string name, value; name_stream >> name && value_stream >> value;) {
            if (names.starts_with(group + ":") && name == wanted) {
                return std::stoull(value);
            }
        }
    }
    throw std::runtime_error("no " + wanted + " in /proc/net/" + file);
}

uint64_t retransmitted_segments()
{
    return kernel_counter("snmp", "Tcp", "RetransSegs");
}

class Retransmit : public KernelTest, public ::testing::WithParamInterface<Hooks> {
    [[nodiscard]] Hooks hooks() const override { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(, Retransmit, ::testing::Values(Hooks::kBest, Hooks::kRaw),
                         [](const ::testing::TestParamInfo<Hooks>& hooks) {
                             return hooks.param == Hooks::kRaw ? "RawTracepoints" : "Best";
                         });

TEST_P(Retransmit, EverySegmentSentAgainIsCounted)
{
    const NetworkNamespace network;
    if (!run_quietly("ip link set lo up")) {
        GTEST_SKIP() << "needs the program ip";
    }
    if (!run_quietly("tc qdisc add dev lo root netem loss 5%")) {
        GTEST_SKIP() << "needs the program tc and the kernel's netem (CONFIG_NET_SCH_NETEM)";
    }
    TracerConfig config;
    config.probe = ProbeKind::kTcp;
    config.hooks = GetParam();
    Tracer tracer(config);
    run_load({"tcp-rr", "--count", "100", "--seconds", "20"});
    run_load({"tcp-connect", "--count", "20", "--seconds", "20"});  // for answers to a SYN that are sent again
    // The last words of a connection may still be sent again while tracing ends.
    const uint64_t at_least = retransmitted_segments();
    const Snapshot snapshot = tracer.stop();
    const uint64_t at_most = retransmitted_segments();
    ASSERT_GT(at_least, 3U);
    EXPECT_GE(counter(snapshot, "sonde_tcp_retransmits_total", {}), at_least);
    EXPECT_LE(counter(snapshot, "sonde_tcp_retransmits_total", {}), at_most);
}

// The way to the peer is gone: TCP tries again and again, and nothing goes out. Since 6.17 the kernel reports each try.
TEST_P(Retransmit, WhatCouldNotBeSentAgainIsNotCounted)
{
    const NetworkNamespace network;
    if (!run_quietly("ip link set lo up")) {
        GTEST_SKIP() << "needs the program ip";
    }
    TracerConfig config;
    config.probe = ProbeKind::kTcp;
    config.hooks = GetParam();
    Listener listener(8);
    const UniqueFd client = listener.connect();
    const UniqueFd server = listener.accept();
    Tracer tracer(config);
    const linger abort_on_close{1, 0};  // it would go on trying in the next test
    ASSERT_EQ(setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof(abort_on_close)), 0);
    ASSERT_TRUE(run_quietly("ip link set lo down"));
    ASSERT_EQ(write(client.get(), "q", 1), 1);  // is sent, and lost
    ASSERT_TRUE(run_quietly("ip addr flush dev lo && ip route flush table local"));
    const auto tried_thrice = [&] {
        tcp_info info{};
        socklen_t size = sizeof(info);
        return getsockopt(client.get(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_retransmits >= 3;
    };
    ASSERT_TRUE(poll_until(tried_thrice));
    const uint64_t at_least = retransmitted_segments();
    const uint64_t counted = counter(tracer.stop(), "sonde_tcp_retransmits_total", {});
    EXPECT_GE(counted, at_least);
    EXPECT_LE(counted, retransmitted_segments());
}

}  // namespace
}  // namespace sonde::test
