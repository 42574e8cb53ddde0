// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

#include "bpf/abi/tcp.h"
#include "userspace/probes/hist_reader.h"
#include "userspace/probes/object.h"
#include "userspace/probes/probe.h"
#include "userspace/probes/skeleton_types.h"

#include "tcp.skel.h"  // after skeleton_types.h

namespace sonde {
namespace {

constexpr std::array<const char*, SONDE_PEERS> kPeerNames{"loopback", "private", "public"};
constexpr std::array<const char*, SONDE_TCP_DROPS> kTcpDropNames{"no memory for socket state", "owner not known yet",
                                                                 "began before tracing", "clock went backward"};
constexpr uint32_t kSockHashEntries = 65536;
constexpr uint32_t kTcpFallbackRows = 4 * SONDE_PEER_SLOTS;

struct PortTotals {
    Histogram rtt;
    Histogram connect;
    Histogram accept;
    uint64_t retransmits = 0;
    uint64_t connect_failures = 0;
};
using Key = std::pair<std::string, uint32_t>;  // port, peer class
using Totals = std::map<Key, PortTotals>;

class TcpProbe final : public Probe {
  public:
    TcpProbe(SkelPtr<tcp_bpf> skel, ProgramSet programs, std::vector<Choice> choices, uint32_t cpus)
        : skel_(std::move(skel)), programs_(std::move(programs)), choices_(std::move(choices)), cpus_(cpus)
    {}

    Status attach() override { return programs_.attach(skel_->obj); }
    void detach() override { programs_.detach(); }
    Status read(Snapshot& into) override;
    [[nodiscard]] uint64_t kernel_bytes() const override { return maps_bytes(skel_->obj); }

  private:
    [[nodiscard]] std::string port_name(uint32_t slot) const;
    [[nodiscard]] ProbeStatus status(const Choice& choice, uint64_t events) const;
    void add_counters(const Totals& totals, Snapshot& into) const;

    SkelPtr<tcp_bpf> skel_;
    ProgramSet programs_;
    std::vector<Choice> choices_;
    uint32_t cpus_;
};

std::string TcpProbe::port_name(uint32_t slot) const
{
    if (slot == SONDE_TCP_PORT_OTHER) {
        return "other";
    }
    if (slot == SONDE_TCP_PORT_EPHEMERAL) {
        return "ephemeral";
    }
    return std::to_string(read_shared(skel_->bss->port_of_slot[slot]));
}

Status TcpProbe::read(Snapshot& into)
{
    const uint32_t count = cpus_ * SONDE_TCP_PORTS + 1;
    Result<MapWindow> rows = MapWindow::open(bpf_map__fd(skel_->maps.rows), sizeof(sonde_tcp_rows), 0, count);
    if (!rows) {
        return rows.error().with("read TCP rows");
    }
    Totals totals;
    HistReader reader(bpf_map__fd(skel_->maps.hist_chunks));
    const uint32_t used = std::min<uint32_t>(read_shared(skel_->data->ports_used), SONDE_TCP_PORTS);
    for (uint32_t i = 0; i < count; ++i) {
        const uint32_t slot = i + 1 == count ? SONDE_TCP_PORT_OTHER : i % SONDE_TCP_PORTS;
        if (slot >= used) {
            continue;
        }
        const std::string port = port_name(slot);
        const auto& row = rows->at<sonde_tcp_rows>(i);
        for (uint32_t peer = 0; peer < SONDE_PEERS; ++peer) {
            PortTotals& sum = totals[{port, peer}];
            reader.add(row.rtt[peer], sum.rtt);
            reader.add(row.rtt_at_change[peer], sum.rtt);
            reader.add(row.connect[peer], sum.connect);
            reader.add(row.accept[peer], sum.accept);
            sum.retransmits += row.retransmits[peer];
            sum.connect_failures += row.connect_failures[peer];
        }
    }
    if (Status fetched = reader.fetch(); !fetched) {
        return fetched;
    }
    uint64_t rtt_events = 0;
    uint64_t connect_events = 0;
    uint64_t accept_events = 0;
    for (const auto& [key, sum] : totals) {
        const Labels labels{{"port", key.first}, {"peer", kPeerNames[key.second]}};
        rtt_events += sum.rtt.count();
        connect_events += sum.connect.count();
        accept_events += sum.accept.count();
        if (!sum.rtt.empty()) {
            into.histograms.push_back({"sonde_tcp_rtt_seconds", labels, sum.rtt});
        }
        if (!sum.connect.empty()) {
            into.histograms.push_back({"sonde_tcp_connect_latency_seconds", labels, sum.connect});
        }
        if (!sum.accept.empty()) {
            into.histograms.push_back({"sonde_tcp_accept_latency_seconds", labels, sum.accept});
        }
    }
    const size_t first_counter = into.counters.size();
    add_counters(totals, into);
    uint64_t counted = 0;
    for (size_t i = first_counter; i < into.counters.size(); ++i) {
        counted += into.counters[i].value;
    }
    for (const Choice& choice : choices_) {
        const uint64_t events = choice.measurement == "TCP round-trip time"   ? rtt_events
                                : choice.measurement == "TCP connect latency" ? connect_events
                                : choice.measurement == "TCP accept latency"  ? accept_events
                                                                              : counted;
        into.probes.push_back(status(choice, events));
    }
    return ok();
}

void TcpProbe::add_counters(const Totals& totals, Snapshot& into) const
{
    for (const auto& [key, sum] : totals) {
        const Labels labels{{"port", key.first}, {"peer", kPeerNames[key.second]}};
        if (sum.retransmits != 0) {
            into.counters.push_back({"sonde_tcp_retransmits_total", labels, sum.retransmits});
        }
        if (sum.connect_failures != 0) {
            into.counters.push_back({"sonde_tcp_connect_failures_total", labels, sum.connect_failures});
        }
    }
    const sonde_tcp_counters& counters = skel_->bss->counters;
    into.counters.push_back({"sonde_tcp_resets_total", {{"direction", "sent"}}, read_shared(counters.resets_sent)});
    into.counters.push_back(
        {"sonde_tcp_resets_total", {{"direction", "received"}}, read_shared(counters.resets_received)});
}

ProbeStatus TcpProbe::status(const Choice& choice, uint64_t events) const
{
    ProbeStatus status = status_of(choice, skel_->obj, programs_);
    status.events = events;
    for (size_t drop = 0; drop < SONDE_TCP_DROPS; ++drop) {
        const uint64_t n = read_shared(skel_->bss->counters.drops[drop]);
        if (n != 0) {
            status.discarded[kTcpDropNames[drop]] = n;
        }
    }
    if (status.state != ProbeState::kOff && read_shared(skel_->bss->counters.ports_full) != 0) {
        status.state = ProbeState::kDegraded;
        status.reason = "more ports than the table has: the excess is counted under port \"other\"";
    }
    if (status.state != ProbeState::kOff && read_shared(skel_->bss->counters.chunks_full) != 0) {
        status.state = ProbeState::kDegraded;
        status.reason = "too many distributions for the tables: the excess is counted under port \"other\"";
    }
    return status;
}

Status set_fallback(tcp_bpf* skel, uint32_t cpus)
{
    sonde_tcp_rows rows{};
    uint32_t chunk = 1;
    for (auto* family : {&rows.rtt, &rows.rtt_at_change, &rows.connect, &rows.accept}) {
        for (sonde_hist_row& row : *family) {
            row = row_with_chunks(chunk);
            chunk += SONDE_HIST_CHUNKS;
        }
    }
    const uint32_t index = cpus * SONDE_TCP_PORTS;
    if (bpf_map_update_elem(bpf_map__fd(skel->maps.rows), &index, &rows, BPF_ANY) != 0) {
        return Error::from_errno(errno, "prepare the row for other ports");
    }
    return ok();
}

Status set_ports(tcp_bpf* skel, const std::vector<uint16_t>& listening)
{
    uint32_t next = SONDE_TCP_FIRST_PORT;
    for (const uint32_t port : listening) {
        const uint32_t slot = next < SONDE_TCP_PORTS ? next++ : SONDE_TCP_PORT_OTHER;
        if (bpf_map_update_elem(bpf_map__fd(skel->maps.ports), &port, &slot, BPF_NOEXIST) != 0) {
            return Error::from_errno(errno, "enter a listening port");
        }
        if (slot != SONDE_TCP_PORT_OTHER) {
            skel->bss->port_of_slot[slot] = port;
        }
    }
    skel->data->ports_used = next;
    return ok();
}

bool uses_first_read(const std::vector<Choice>& choices)
{
    return std::any_of(choices.begin(), choices.end(), [](const Choice& choice) {
        return choice.measurement == "TCP accept latency" && choice.row != nullptr && choice.row->function.empty();
    });
}

}  // namespace

Result<std::unique_ptr<Probe>> load_tcp_probe(const ProbeOptions& options, const MapSizes& sizes,
                                              const std::vector<Choice>& choices, const KernelFeatures& features)
{
    const bpf_object_open_opts open = open_options(features);
    SkelPtr<tcp_bpf> skel(tcp_bpf__open_opts(&open));
    if (!skel) {
        return Error::from_errno(errno, "open BPF object tcp");
    }
    ProgramSet programs;
    std::vector<Choice> mine;
    for (const Choice& choice : choices) {
        if (choice.probe == ProbeKind::kTcp) {
            programs.add(choice);
            mine.push_back(choice);
        }
    }
    const bool typed = features.typed_tracepoints.works && features.socket_storage.works;
    if (options.filter.kind != SONDE_FILTER_NONE && features.tracepoints.contains("tcp_rcv_space_adjust")) {
        programs.add(typed ? "sonde_tcp_read" : "sonde_tcp_read_raw");
    }
    programs.select(skel->obj);
    bpf_map__set_autocreate(skel->maps.sock_storage, typed);
    bpf_map__set_max_entries(skel->maps.sock_hash, typed ? 1 : kSockHashEntries);
    bpf_map__set_max_entries(skel->maps.rows, options.cpus * SONDE_TCP_PORTS + 1);
    bpf_map__set_max_entries(skel->maps.hist_chunks, sizes.local_chunks);
    bpf_map__set_max_entries(skel->maps.hist_free, options.cpus + 1);
    skel->rodata->nr_cpus = options.cpus;
    skel->rodata->hist_nr_chunks = sizes.local_chunks;
    skel->rodata->accept_is_first_read = uses_first_read(mine);
    skel->rodata->retransmit_has_error = features.tracepoint_has_args("tcp_retransmit_skb", 3);
    skel->data->hist_cursor = 1 + kTcpFallbackRows * SONDE_HIST_CHUNKS;
    set_filter(skel->rodata, options.filter);
    use_follow_targets(skel->maps.follow_targets, options);
    if (Status status = load_object(skel->skeleton, "tcp"); !status) {
        return status.error();
    }
    if (Status status = set_fallback(skel.get(), options.cpus); !status) {
        return status.error();
    }
    if (Status status = set_ports(skel.get(), options.listening_ports); !status) {
        return status.error();
    }
    return std::unique_ptr<Probe>(
        std::make_unique<TcpProbe>(std::move(skel), std::move(programs), std::move(mine), options.cpus));
}

std::span<const char> tcp_object()
{
    return object_bytes(&tcp_bpf::elf_bytes);
}

}  // namespace sonde
