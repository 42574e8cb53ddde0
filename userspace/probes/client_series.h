// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "bpf/abi/client.h"
#include "userspace/metrics/snapshot.h"
#include "userspace/probes/client_probe.h"

namespace sonde {

// What the kernel counts of a function.
struct CallCounts {
    uint64_t begun = 0;
    uint64_t ended = 0;
    std::array<uint64_t, SONDE_CLIENT_DROPS> drops{};

    void add(const sonde_client_function& row);
    void add(const CallCounts& other);
};

// The calls that have a distribution: processes of one name share it. A call that texts tell apart has one for each of
// them, and one for all others. Entries are never taken away: what was measured stays readable.
class ClientSeries {
  public:
    struct Entry {
        Labels labels;
        std::string question;
        std::string within;
        std::string counts;
        CallCounts ended_processes;  // of processes that have ended
        bool attached = false;       // in a process, at some time
        uint64_t too_fast = 0;       // calls per second at which it was let go in a process; 0: it was not
        double too_dear = 0;         // the share of a CPU at which it was; 0: it was not for that
    };
    // `texts_fd`: of the map that the BPF side looks texts up in.
    explicit ClientSeries(int texts_fd) : texts_fd_(texts_fd) {}

    // The index of the row for a call of this process, or of those whose text is not known. An error if there is no
    // room for more.
    Result<uint32_t> index_of(const ClientTarget& target, const ClientCall& call);

    [[nodiscard]] std::vector<Entry>& entries() { return entries_; }
    [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

  private:
    Result<uint32_t> make(const ClientTarget& target, const ClientCall& call, const std::string& name);

    int texts_fd_;
    std::vector<Entry> entries_;  // the index is that of the row
    std::map<Labels, uint32_t> index_;
};

}  // namespace sonde
