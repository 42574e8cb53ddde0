// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "userspace/base/result.h"

namespace sonde {

// Ports in state LISTEN in this process's network namespace, ascending, each once, IPv4 and IPv6. Asks the kernel
// by netlink (sock_diag(7)), which looks at listening sockets only: /proc/net/tcp walks over all buckets of the
// table of connections, which takes milliseconds on a quiet host and much longer on a busy one.
[[nodiscard]] Result<std::vector<uint16_t>> own_listening_ports();

}  // namespace sonde
