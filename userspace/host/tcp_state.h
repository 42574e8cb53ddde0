// SPDX-License-Identifier: Apache-2.0
//
// What /proc knows of TCP: which ports are listened on, how many connections a full listen queue has cost. For
// all network namespaces that processes of this host are in, one process standing for each.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "userspace/base/rooted_fs.h"

namespace sonde {

// Pids, one per network namespace. The caller's own namespace comes first, as "self".
[[nodiscard]] std::vector<std::string> network_namespaces(const RootedFs& fs);

// Ports in state LISTEN, ascending, each once, IPv4 and IPv6.
[[nodiscard]] std::vector<uint16_t> listening_ports(const RootedFs& fs, const std::vector<std::string>& pids);

// Those that one process listens on: what it lets others find out takes CAP_SYS_PTRACE for processes of other users.
[[nodiscard]] std::vector<uint16_t> ports_of_process(const RootedFs& fs, pid_t pid);

struct ListenQueue {
    uint64_t overflows = 0;  // TcpExt ListenOverflows: the accept queue was full
    uint64_t drops = 0;      // TcpExt ListenDrops: all reasons
};

// How much the counters of some namespaces have grown since the meter was made. A namespace whose process has
// gone keeps what it had; a counter that shrinks (the pid stands for another namespace now) begins anew.
class ListenQueueMeter {
  public:
    ListenQueueMeter() = default;
    ListenQueueMeter(const RootedFs& fs, const std::vector<std::string>& pids);
    // Never less than before.
    [[nodiscard]] ListenQueue read(const RootedFs& fs);

  private:
    std::map<std::string, ListenQueue> last_;  // by pid
    ListenQueue grown_;
};

}  // namespace sonde
