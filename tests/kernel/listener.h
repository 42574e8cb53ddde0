// SPDX-License-Identifier: Apache-2.0
//
// TCP connections of a test's own, on loopback.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>

#include "userspace/base/unique_fd.h"

namespace sonde::test {

// A listening socket on a loopback port of the kernel's choice. It throws when that cannot be had.
class Listener {
  public:
    explicit Listener(int backlog) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        address_.sin_family = AF_INET;
        address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof(address_);
        if (bind(socket_.get(), generic(), size) != 0 || listen(socket_.get(), backlog) != 0 ||
            getsockname(socket_.get(), generic(), &size) != 0) {
            throw std::runtime_error("cannot listen on loopback");
        }
    }

    [[nodiscard]] int port() const { return ntohs(address_.sin_port); }
    // A socket that connects, or has connected, to it.
    UniqueFd connect(int flags = 0)
    {
        UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
        if (::connect(client.get(), generic(), sizeof(address_)) != 0 && errno != EINPROGRESS) {
            throw std::runtime_error("cannot connect on loopback");
        }
        return client;
    }
    UniqueFd accept() { return UniqueFd(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }

  private:
    sockaddr* generic() { return reinterpret_cast<sockaddr*>(&address_); }

    UniqueFd socket_;
    sockaddr_in address_{};
};

}  // namespace sonde::test
