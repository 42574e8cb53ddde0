// SPDX-License-Identifier: Apache-2.0
#include "tests/load/tcp_sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "tests/load/load.h"

namespace sonde::load::tcp {
namespace {

struct LoopbackAddress {
    sockaddr_storage storage{};
    socklen_t size = sizeof(sockaddr_in);

    LoopbackAddress(int family, uint16_t port)
    {
        if (family == AF_INET6) {
            auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
            in6->sin6_family = AF_INET6;
            in6->sin6_port = htons(port);
            in6->sin6_addr = in6addr_loopback;
            size = sizeof(sockaddr_in6);
        } else {
            auto* in4 = reinterpret_cast<sockaddr_in*>(&storage);
            in4->sin_family = AF_INET;
            in4->sin_port = htons(port);
            in4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        }
    }
    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

}  // namespace

UniqueFd new_socket(int family)
{
    return UniqueFd(static_cast<int>(check(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")));
}

UniqueFd bind_to_loopback(int family, uint16_t port)
{
    UniqueFd socket = new_socket(family);
    const int on = 1;
    check(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), "SO_REUSEADDR");
    const LoopbackAddress address(family, port);
    check(::bind(socket.get(), address.get(), address.size), "bind to port " + std::to_string(port));
    return socket;
}

UniqueFd listen_on_loopback(int family, uint16_t port, int backlog)
{
    UniqueFd socket = bind_to_loopback(family, port);
    check(::listen(socket.get(), backlog), "listen");
    return socket;
}

int connect_raw(const UniqueFd& socket, int family, uint16_t port)
{
    const LoopbackAddress address(family, port);
    const int result = ::connect(socket.get(), address.get(), address.size);
    if (result == 0 || errno != EINTR) {
        return result;
    }
    // An interrupted connect goes on by itself; its end shows as writability.
    pollfd writable{socket.get(), POLLOUT, 0};
    check_retried([&] { return ::poll(&writable, 1, -1); }, "poll for a connection");
    int error = 0;
    socklen_t size = sizeof(error);
    check(::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size), "SO_ERROR");
    errno = error;
    return error == 0 ? 0 : -1;
}

UniqueFd connect_to_loopback(int family, uint16_t port)
{
    UniqueFd socket = new_socket(family);
    check(connect_raw(socket, family, port), "connect to port " + std::to_string(port));
    set_no_delay(socket);
    return socket;
}

UniqueFd accept_one(const UniqueFd& listener)
{
    UniqueFd socket(static_cast<int>(
        check_retried([&] { return ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC); }, "accept")));
    set_no_delay(socket);
    return socket;
}

uint16_t port_of(const UniqueFd& socket)
{
    sockaddr_in6 address{};  // the port is at the same place in both families
    socklen_t size = sizeof(address);
    check(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
    return ntohs(address.sin6_port);
}

void set_no_delay(const UniqueFd& socket)
{
    const int on = 1;
    check(::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "TCP_NODELAY");
}

void send_all(const UniqueFd& socket, const char* data, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        sent += static_cast<size_t>(
            check_retried([&] { return ::send(socket.get(), data + sent, size - sent, MSG_NOSIGNAL); }, "send"));
    }
}

bool receive_all(const UniqueFd& socket, char* data, size_t size)
{
    for (size_t received = 0; received < size;) {
        const long n = check_retried([&] { return ::recv(socket.get(), data + received, size - received, 0); }, "recv");
        if (n == 0) {
            if (received > 0) {
                errno = ECONNRESET;
                fail("connection closed in the middle of a message");
            }
            return false;
        }
        received += static_cast<size_t>(n);
    }
    return true;
}

}  // namespace sonde::load::tcp
