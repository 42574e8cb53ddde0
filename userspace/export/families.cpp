// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/families.h"

namespace sonde {
namespace {

constexpr std::array<Family, 8> kHistograms{{
    {"sonde_sched_runq_latency_seconds",
     "Time from when a thread could run until it ran, by process and by cause of the wait.",
     "Run-queue latency",
     "run-queue latency",
     {"process", "cause"},
     "no thread waited for a CPU"},
    {"sonde_sched_oncpu_seconds",
     "Length of the slices that threads spend on a CPU without a break, by process.",
     "On-CPU slices",
     "on-CPU time",
     {"process"},
     "no on-CPU slice ended; one that went on to the end is not counted"},
    {"sonde_sched_offcpu_seconds",
     "Time that threads spend blocked, by process and by what they waited for; ends when they are woken.",
     "Off-CPU time",
     "off-CPU time",
     {"process", "reason"},
     "no blocked thread was woken; waits that went on to the end are not counted"},
    {kBlockLatency,
     "Latency of completed block I/O requests, by device, operation and stage.",
     "Block I/O",
     "block I/O latency",
     {"device", "op", "stage"},
     "no block I/O completed"},
    {"sonde_tcp_rtt_seconds",
     "TCP round-trip time, from a segment to its acknowledgement, by local port and class of peer.",
     "TCP round-trip time",
     "TCP round-trip time",
     {"port", "peer"},
     "no TCP round trip was measured",
     "until the acknowledgement: where that rides on a reply, the peer's time to answer is part of it"},
    {"sonde_tcp_connect_latency_seconds",
     "Time from SYN to established for outgoing TCP connections, by port and class of peer.",
     "TCP connect",
     "TCP connect latency",
     {"port", "peer"},
     "no TCP connection was opened"},
    {"sonde_tcp_accept_latency_seconds",
     "Time that an established TCP connection waits until the process accepts it, by local port and class of "
     "peer.",
     "TCP accept",
     "TCP accept latency",
     {"port", "peer"},
     "no TCP connection was accepted"},
    {kClientCalls,
     "Time from the beginning of a function's call to its end, by client, process and function.",
     "Calls",
     "client calls",
     {"client", "process", "call"},
     "no call ended"},
}};

constexpr std::array<Family, 13> kCounters{{
    {kBlockBytes,
     "Bytes moved by completed block I/O requests, by device and operation.",
     "Block I/O bytes",
     "block I/O latency",
     {},
     ""},
    {kBlockErrors,
     "Block I/O requests that completed with an error, by device and operation.",
     "Block I/O errors",
     "block I/O latency",
     {},
     ""},
    {"sonde_tcp_retransmits_total",
     "TCP segments sent again, by local port and class of peer.",
     "TCP retransmits",
     kCountersMeasurement,
     {},
     ""},
    {"sonde_tcp_resets_total", "TCP resets, by direction.", "TCP resets", kCountersMeasurement, {}, ""},
    {"sonde_tcp_listen_overflows_total",
     "TCP connections lost because a listen queue was full.",
     "TCP listen overflows",
     kCountersMeasurement,
     {},
     ""},
    {"sonde_tcp_listen_drops_total",
     "TCP connections that a listening socket dropped, for any reason.",
     "TCP listen drops",
     kCountersMeasurement,
     {},
     ""},
    {"sonde_tcp_connect_failures_total",
     "Outgoing TCP connections that were not established.",
     "TCP connect failures",
     kCountersMeasurement,
     {},
     ""},
    {kClientEvents,
     "What calls inside of processes are counted as, such as blocks, by client, process and event.",
     "Client events",
     "client calls",
     {},
     ""},
    {kEvents, "Events that became part of a number, by measurement.", "Events", "", {}, ""},
    {kEventsDiscarded, "Events seen but not measurable, by measurement and reason.", "Events discarded", "", {}, ""},
    {kProbeRuns,
     "Runs of the BPF programs of a measurement; absent while the kernel keeps no statistics.",
     "Probe runs",
     "",
     {},
     ""},
    {kProbeInfo,
     "Which hook each measurement comes from, and its status: ok, degraded or off, and why. Always 1.",
     "Probe",
     "",
     {},
     ""},
    {kProbeCost,
     "CPU time of the BPF programs of a measurement; absent while the kernel keeps no statistics.",
     "Probe cost",
     "",
     {},
     ""},
}};

constexpr std::array<Family, 2> kGauges{{
    {kClientInFlight,
     "Calls of a function that have begun and of which no end was seen so far, by client, process and function.",
     "Calls under way",
     "client calls",
     {},
     ""},
    {kClientLongest,
     "How long ago the first of the calls under way began, by client, process and function.",
     "Longest call under way",
     "client calls",
     {},
     ""},
}};

}  // namespace

std::span<const Family> histogram_families()
{
    return kHistograms;
}

std::span<const Family> counter_families()
{
    return kCounters;
}

std::span<const Family> gauge_families()
{
    return kGauges;
}

const Family* find_family(std::string_view name)
{
    for (const std::span<const Family> table : {histogram_families(), counter_families(), gauge_families()}) {
        for (const Family& family : table) {
            if (family.name == name) {
                return &family;
            }
        }
    }
    return nullptr;
}

}  // namespace sonde
