// SPDX-License-Identifier: Apache-2.0
//
// Retransmits on a lossy link, against the kernel's own count. In a network namespace, so that the loss and the count
// are ours alone.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

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

// RetransSegs of the namespace, from the two Tcp lines (names, then values) of /proc/net/snmp.
uint64_t retransmitted_segments()
{
    std::ifstream file("/proc/thread-self/net/snmp");
    for (std::string names, values; std::getline(file, names) && std::getline(file, values);) {
        std::istringstream name_stream(names);
        std::istringstream value_stream(values);
        for (std::string name, value; name_stream >> name && value_stream >> value;) {
            if (names.starts_with("Tcp:") && name == "RetransSegs") {
                return std::stoull(value);
            }
        }
    }
    throw std::runtime_error("no RetransSegs in /proc/net/snmp");
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

}  // namespace
}  // namespace sonde::test
