// SPDX-License-Identifier: Apache-2.0
//
// Loopback TCP sockets with every call checked. `family` is AF_INET or AF_INET6.
#pragma once

#include <cstddef>
#include <cstdint>

#include "userspace/base/unique_fd.h"

namespace sonde::load::tcp {

// Bound to the loopback address and `port` (0: any free one), but not listening: connecting is refused.
[[nodiscard]] UniqueFd bind_to_loopback(int family, uint16_t port);
[[nodiscard]] UniqueFd listen_on_loopback(int family, uint16_t port, int backlog);
[[nodiscard]] UniqueFd new_socket(int family);
[[nodiscard]] UniqueFd connect_to_loopback(int family, uint16_t port);
// connect(2) itself, repeated when interrupted; the caller judges the result.
int connect_raw(const UniqueFd& socket, int family, uint16_t port);
[[nodiscard]] UniqueFd accept_one(const UniqueFd& listener);
[[nodiscard]] uint16_t port_of(const UniqueFd& socket);
void set_no_delay(const UniqueFd& socket);
void send_all(const UniqueFd& socket, const char* data, size_t size);
// False when the peer has closed the connection before the first byte.
bool receive_all(const UniqueFd& socket, char* data, size_t size);

}  // namespace sonde::load::tcp
