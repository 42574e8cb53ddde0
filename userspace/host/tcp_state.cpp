// SPDX-License-Identifier: Apache-2.0
#include "userspace/host/tcp_state.h"

#include <charconv>
#include <cstdlib>
#include <optional>
#include <set>
#include <sstream>

namespace sonde {
namespace {

constexpr std::string_view kListen = "0A";

struct ListeningSocket {
    uint16_t port = 0;
    uint64_t inode = 0;
};

std::vector<ListeningSocket> listening_sockets(const std::string& table)
{
    // "  sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...": addresses
    // are HEX:PORT in hexadecimal.
    std::vector<ListeningSocket> sockets;
    std::istringstream lines(table);
    std::string line;
    std::getline(lines, line);
    while (std::getline(lines, line)) {
        std::istringstream fields(line);
        std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout;
        ListeningSocket socket;
        fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> socket.inode;
        const size_t colon = local.find(':');
        if (state == kListen && colon != std::string::npos &&
            std::from_chars(local.data() + colon + 1, local.data() + local.size(), socket.port, 16).ec == std::errc()) {
            sockets.push_back(socket);
        }
    }
    return sockets;
}

// In the network namespace of a process.
std::vector<ListeningSocket> listening_sockets_near(const RootedFs& fs, const std::string& pid)
{
    std::vector<ListeningSocket> sockets;
    for (const char* table : {"/net/tcp", "/net/tcp6"}) {
        if (const Result<std::string> text = fs.read("/proc/" + pid + table)) {
            const std::vector<ListeningSocket> more = listening_sockets(*text);
            sockets.insert(sockets.end(), more.begin(), more.end());
        }
    }
    return sockets;
}

// The value of a column in the two-line form of /proc/net/netstat: names, then numbers, behind "TcpExt:".
uint64_t netstat_value(const std::string& text, const std::string& column)
{
    std::istringstream lines(text);
    std::string names;
    std::string values;
    while (std::getline(lines, names) && std::getline(lines, values)) {
        if (!names.starts_with("TcpExt:")) {
            continue;
        }
        std::istringstream name_fields(names);
        std::istringstream value_fields(values);
        std::string name;
        std::string value;
        while (name_fields >> name && value_fields >> value) {
            uint64_t number = 0;
            if (name == column &&
                std::from_chars(value.data(), value.data() + value.size(), number).ec == std::errc()) {
                return number;
            }
        }
    }
    return 0;
}

std::optional<ListenQueue> listen_queue_of(const RootedFs& fs, const std::string& pid)
{
    const Result<std::string> text = fs.read("/proc/" + pid + "/net/netstat");
    if (!text) {
        return std::nullopt;
    }
    return ListenQueue{netstat_value(*text, "ListenOverflows"), netstat_value(*text, "ListenDrops")};
}

bool is_number(const std::string& name)
{
    return !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

// Each namespace has a netstat file of its own, which its processes share and anyone may look at. The link
// /proc/PID/ns/net, of processes of other users, takes CAP_SYS_PTRACE.
std::vector<std::string> network_namespaces(const RootedFs& fs)
{
    std::vector<std::string> pids{"self"};
    std::set<uint64_t> seen;
    if (const Result<uint64_t> own = fs.inode("/proc/self/net/netstat")) {
        seen.insert(*own);
    }
    const Result<std::vector<std::string>> entries = fs.list("/proc");
    if (!entries) {
        return pids;
    }
    for (const std::string& entry : *entries) {
        if (!is_number(entry)) {
            continue;
        }
        const Result<uint64_t> ns = fs.inode("/proc/" + entry + "/net/netstat");
        if (ns && seen.insert(*ns).second) {
            pids.push_back(entry);
        }
    }
    return pids;
}

std::vector<uint16_t> listening_ports(const RootedFs& fs, const std::vector<std::string>& pids)
{
    std::set<uint16_t> ports;
    for (const std::string& pid : pids) {
        for (const ListeningSocket& socket : listening_sockets_near(fs, pid)) {
            ports.insert(socket.port);
        }
    }
    return {ports.begin(), ports.end()};
}

std::vector<uint16_t> ports_of_process(const RootedFs& fs, pid_t pid)
{
    constexpr std::string_view kSocket("socket:[");
    const std::string folder = "/proc/" + std::to_string(pid);
    const Result<std::vector<std::string>> names = fs.list(folder + "/fd");
    std::set<uint64_t> inodes;
    for (const std::string& name : names ? *names : std::vector<std::string>()) {
        const Result<std::string> link = fs.read_link(std::string(folder).append("/fd/").append(name));
        if (link && link->starts_with(kSocket)) {
            inodes.insert(std::strtoull(link->c_str() + kSocket.size(), nullptr, 10));
        }
    }
    std::set<uint16_t> ports;
    if (!inodes.empty()) {
        for (const ListeningSocket& socket : listening_sockets_near(fs, std::to_string(pid))) {
            if (inodes.contains(socket.inode)) {
                ports.insert(socket.port);
            }
        }
    }
    return {ports.begin(), ports.end()};
}

ListenQueueMeter::ListenQueueMeter(const RootedFs& fs, const std::vector<std::string>& pids)
{
    for (const std::string& pid : pids) {
        if (const std::optional<ListenQueue> now = listen_queue_of(fs, pid)) {
            last_[pid] = *now;
        }
    }
}

ListenQueue ListenQueueMeter::read(const RootedFs& fs)
{
    for (auto& [pid, last] : last_) {
        const std::optional<ListenQueue> now = listen_queue_of(fs, pid);
        if (!now) {
            continue;
        }
        grown_.overflows += now->overflows > last.overflows ? now->overflows - last.overflows : 0;
        grown_.drops += now->drops > last.drops ? now->drops - last.drops : 0;
        last = *now;
    }
    return grown_;
}

}  // namespace sonde
