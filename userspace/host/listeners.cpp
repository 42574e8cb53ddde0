// SPDX-License-Identifier: Apache-2.0
#include "userspace/host/listeners.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <set>

#include "userspace/base/unique_fd.h"

namespace sonde {
namespace {

struct Request {
    nlmsghdr header;
    inet_diag_req_v2 body;
};

Status ask(int fd, uint8_t family)
{
    Request request{};
    request.header.nlmsg_len = sizeof(request);
    request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.body.sdiag_family = family;
    request.body.sdiag_protocol = IPPROTO_TCP;
    request.body.idiag_states = 1U << TCP_LISTEN;
    if (::send(fd, &request, sizeof(request), 0) != sizeof(request)) {
        return Error::from_errno(errno, "ask for listening sockets");
    }
    return ok();
}

// Reads the answers up to the one that says that there are no more.
Status collect(int fd, std::set<uint16_t>& ports)
{
    alignas(nlmsghdr) std::array<char, 16384> buffer;
    for (;;) {
        const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
        if (n <= 0) {
            return Error::from_errno(n < 0 ? errno : EIO, "list listening sockets");
        }
        auto left = static_cast<unsigned int>(n);
        for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
             message = NLMSG_NEXT(message, left)) {
            if (message->nlmsg_type == NLMSG_DONE) {
                return ok();
            }
            if (message->nlmsg_type == NLMSG_ERROR) {
                const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(message));
                return Error::from_errno(-error->error, "list listening sockets");
            }
            inet_diag_msg socket{};
            if (NLMSG_PAYLOAD(message, 0) >= sizeof(socket)) {
                std::memcpy(&socket, NLMSG_DATA(message), sizeof(socket));
                ports.insert(ntohs(socket.id.idiag_sport));
            }
        }
    }
}

}  // namespace

Result<std::vector<uint16_t>> own_listening_ports()
{
    const UniqueFd fd(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    if (!fd) {
        return Error::from_errno(errno, "open a netlink socket");
    }
    std::set<uint16_t> ports;
    for (const uint8_t family : {AF_INET, AF_INET6}) {
        if (Status status = ask(fd.get(), family); !status) {
            return status.error();
        }
        if (Status status = collect(fd.get(), ports); !status) {
            return status.error();
        }
    }
    return std::vector<uint16_t>(ports.begin(), ports.end());
}

}  // namespace sonde
