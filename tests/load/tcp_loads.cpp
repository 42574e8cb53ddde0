// SPDX-License-Identifier: Apache-2.0
//
// Loads on loopback TCP. The client is the measured task; the server is another process named load-peer
// (--threads: another thread).
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "tests/load/loads.h"
#include "tests/load/tcp_sockets.h"

namespace sonde::load {
namespace {

int family_of(const Options& options)
{
    return options.has("ipv6") ? AF_INET6 : AF_INET;
}

Worker::Kind kind_of(const Options& options)
{
    return options.has("threads") ? Worker::Kind::kThread : Worker::Kind::kProcess;
}

UniqueFd make_listener(const Options& options, int backlog)
{
    return tcp::listen_on_loopback(family_of(options), static_cast<uint16_t>(options.number("port", 0, 0, 65535)),
                                   backlog);
}

volatile sig_atomic_t go_signalled = 0;
void on_go_signal(int)
{
    go_signalled = 1;
}

void handle_go_signal()
{
    struct sigaction action {};
    action.sa_handler = on_go_signal;
    check(::sigaction(SIGUSR1, &action, nullptr), "sigaction(SIGUSR1)");
}

// Waits for SIGUSR1 or a line on stdin, at most `at_most_ms`. The end of stdin is not a line.
void wait_for_go(uint64_t at_most_ms)
{
    constexpr int kStepMs = 20;
    pollfd input{STDIN_FILENO, POLLIN, 0};
    const uint64_t end_ns = now_ns() + at_most_ms * 1'000'000;
    while (go_signalled == 0 && !stop_requested() && now_ns() < end_ns) {
        const int ready = ::poll(&input, 1, kStepMs);
        char byte = 0;
        if (ready > 0 && ::read(STDIN_FILENO, &byte, 1) == 1 && byte == '\n') {
            return;
        }
        if (ready > 0 && byte == 0) {
            input.fd = -1;  // closed: poll then only waits
        }
    }
}

void serve_requests(const UniqueFd& listener, size_t size, TaskTruth& truth, int cpu)
{
    TaskScope scope(truth, "server", cpu);
    const UniqueFd socket = tcp::accept_one(listener);
    std::string message(size, '\0');
    uint64_t answers = 0;
    while (tcp::receive_all(socket, message.data(), size)) {
        tcp::send_all(socket, message.data(), size);
        ++answers;
    }
    scope.finish(answers, 0);
}

// Accepts and closes `limit`-free: until a client says, by closing a connection with a byte in it, that it
// was the last. The samples are how long each connection waited in the queue, at least: from when poll saw
// it.
void accept_connections(const UniqueFd& listener, uint64_t delay_us, TaskTruth& truth, int cpu)
{
    TaskScope scope(truth, "server", cpu);
    uint64_t accepted = 0;
    uint64_t queued_ns = 0;
    for (char byte = 0; byte == 0;) {
        pollfd readable{listener.get(), POLLIN, 0};
        check_retried([&] { return ::poll(&readable, 1, -1); }, "poll for a connection to accept");
        const uint64_t seen_ns = now_ns();
        if (delay_us > 0) {
            sleep_ns(delay_us * 1000);
        }
        const UniqueFd socket = tcp::accept_one(listener);
        queued_ns += now_ns() - seen_ns;
        ++accepted;
        tcp::receive_all(socket, &byte, 1);
    }
    scope.finish(accepted, queued_ns);
}

struct TcpExtCounters {
    uint64_t listen_overflows = 0;
    uint64_t listen_drops = 0;
};

// Of the whole network namespace, from the two TcpExt lines (names, then values) of /proc/net/netstat.
TcpExtCounters read_tcp_ext()
{
    std::ifstream file("/proc/net/netstat");
    TcpExtCounters counters;
    for (std::string names, values; std::getline(file, names) && std::getline(file, values);) {
        std::istringstream name_stream(names);
        std::istringstream value_stream(values);
        for (std::string name, value; name_stream >> name && value_stream >> value;) {
            if (name == "ListenOverflows") {
                counters.listen_overflows = std::stoull(value);
            } else if (name == "ListenDrops") {
                counters.listen_drops = std::stoull(value);
            }
        }
    }
    return counters;
}

// Spaces operations out to --rate per second; without it they follow each other.
class Pace {
  public:
    explicit Pace(const Options& options)
        : period_ns_(options.has("rate") ? kNsPerSec / options.number("rate", 1, 1, 1'000'000) : 0), next_ns_(now_ns())
    {}
    void wait()
    {
        if (period_ns_ > 0) {
            next_ns_ = std::max(next_ns_ + period_ns_, now_ns());
            sleep_until_ns(next_ns_);
        }
    }

  private:
    uint64_t period_ns_;
    uint64_t next_ns_;
};

// Connects that are refused: the port is bound, but nobody listens.
void connect_refused(const Options& options, uint16_t port, const Limit& limit, Samples& latency)
{
    for (Pace pace(options); !limit.reached(latency.count()); pace.wait()) {
        const UniqueFd socket = tcp::new_socket(family_of(options));
        const uint64_t start_ns = now_ns();
        const int result = tcp::connect_raw(socket, family_of(options), port);
        latency.add(now_ns() - start_ns);
        if (result == 0 || errno != ECONNREFUSED) {
            fail("connect was not refused");
        }
    }
}

void connect_accepted(const Options& options, uint16_t port, const Limit& limit, Samples& latency)
{
    Pace pace(options);
    for (bool last = false; !last; pace.wait()) {
        const UniqueFd socket = tcp::new_socket(family_of(options));
        const uint64_t start_ns = now_ns();
        check(tcp::connect_raw(socket, family_of(options), port), "connect");
        latency.add(now_ns() - start_ns);
        last = limit.reached(latency.count());
        const char byte = last ? 'o' : '\0';
        tcp::send_all(socket, &byte, 1);
        char end = 0;
        tcp::receive_all(socket, &end, 1);  // the server closes first: its end stays in TIME_WAIT
    }
}

}  // namespace

// Transactions on one connection: the client sends --size bytes, the server sends as many back.
Report run_tcp_rr(const Options& options)
{
    const size_t size = options.number("size", 1, 1, 1 << 20);
    handle_go_signal();
    const UniqueFd listener = make_listener(options, 1);
    const uint16_t server_port = tcp::port_of(listener);
    TaskTable tasks(2);
    Worker server(kind_of(options), options.has("threads") ? comm_of(options) : "load-peer",
                  [&] { serve_requests(listener, size, tasks[1], options.cpu_of(1)); });
    UniqueFd socket = tcp::connect_to_loopback(family_of(options), server_port);
    const uint16_t client_port = tcp::port_of(socket);
    if (options.has("existing-delay")) {
        print_ready();
        wait_for_go(options.number("existing-delay", 0, 0, 100'000));
    } else {
        announce(options);
    }

    TaskScope scope(tasks[0], "client", options.cpu_of(0));
    const Limit limit(options);
    std::string message(size, 'r');
    Samples latency;
    while (!limit.reached(latency.count())) {
        const uint64_t start_ns = now_ns();
        tcp::send_all(socket, message.data(), size);
        if (!tcp::receive_all(socket, message.data(), size)) {
            errno = ECONNRESET;
            fail("the server closed the connection");
        }
        latency.add(now_ns() - start_ns);
    }
    scope.finish(latency.count(), latency.sum_ns());
    socket.reset();
    server.join();

    Report report("tcp-rr");
    report.add("count", latency.count());
    report.add("server_port", server_port);
    report.add("client_port", client_port);
    report.add("size", size);
    report.add("latency_ns", latency);
    if (latency.count() > 0) {
        report.add("cpu_ns_per_op", tasks.sum(&TaskTruth::cpu_ns) / latency.count());
        report.add("wall_ns_per_op", tasks[0].elapsed_ns / latency.count());
    }
    report.add(tasks);
    return report;
}

// One connection after another. The samples are the client's connect calls. The server accepts at once, or
// --accept-delay-us after the connection has come into its queue; its "blocked_ns" is the time they waited
// there.
Report run_tcp_connect(const Options& options)
{
    const bool refused = options.has("refused");
    const UniqueFd bound =
        refused ? tcp::bind_to_loopback(family_of(options), static_cast<uint16_t>(options.number("port", 0, 0, 65535)))
                : make_listener(options, 128);
    const uint16_t port = tcp::port_of(bound);
    TaskTable tasks(refused ? 1 : 2);
    std::vector<Worker> server;
    if (!refused) {
        server.emplace_back(kind_of(options), options.has("threads") ? comm_of(options) : "load-peer", [&] {
            accept_connections(bound, options.number("accept-delay-us", 0, 0, 1'000'000), tasks[1], options.cpu_of(1));
        });
    }
    announce(options);
    TaskScope scope(tasks[0], "client", options.cpu_of(0));
    const Limit limit(options);
    Samples latency;
    if (refused) {
        connect_refused(options, port, limit, latency);
    } else {
        connect_accepted(options, port, limit, latency);
    }
    scope.finish(latency.count(), latency.sum_ns());
    for (Worker& worker : server) {
        worker.join();
    }

    Report report("tcp-connect");
    report.add("count", latency.count());
    report.add("server_port", port);
    report.add("refused", refused ? latency.count() : 0);
    report.add("latency_ns", latency);
    report.add(tasks);
    return report;
}

// A listener with backlog 1 that never accepts, and --count connects to it: the kernel lets backlog + 1 wait
// and drops the rest, whose clients try again until --seconds (default 3) are over.
Report run_listen_overflow(const Options& options)
{
    constexpr int kStepMs = 50;
    const size_t connects = options.number("count", 20, 1, 1000);
    const TcpExtCounters before = read_tcp_ext();
    const UniqueFd listener = make_listener(options, 1);
    const uint16_t port = tcp::port_of(listener);
    announce(options);
    std::vector<UniqueFd> sockets;
    std::vector<pollfd> waiting;
    for (size_t i = 0; i < connects; ++i) {
        sockets.push_back(tcp::new_socket(family_of(options)));
        const int flags = static_cast<int>(check(::fcntl(sockets.back().get(), F_GETFL), "F_GETFL"));
        check(::fcntl(sockets.back().get(), F_SETFL, flags | O_NONBLOCK), "F_SETFL");
        if (tcp::connect_raw(sockets.back(), family_of(options), port) < 0 && errno != EINPROGRESS) {
            fail("connect");
        }
        waiting.push_back({sockets.back().get(), POLLOUT, 0});
    }
    const uint64_t end_ns = now_ns() + static_cast<uint64_t>(options.seconds(3) * 1e9);
    uint64_t established = 0;
    uint64_t failed = 0;
    while (now_ns() < end_ns && !stop_requested() && established + failed < connects) {
        if (::poll(waiting.data(), waiting.size(), kStepMs) < 0 && errno != EINTR) {
            fail("poll");
        }
        for (pollfd& each : waiting) {
            if (each.fd >= 0 && each.revents != 0) {
                ++((each.revents & (POLLERR | POLLHUP)) != 0 ? failed : established);
                each.fd = -1;
            }
            each.revents = 0;
        }
    }
    const TcpExtCounters after = read_tcp_ext();

    Report report("listen-overflow");
    report.add("count", connects);
    report.add("server_port", port);
    report.add("established", established);
    report.add("failed", failed);
    report.add("pending", connects - established - failed);
    report.add("host_listen_overflows", after.listen_overflows - before.listen_overflows);
    report.add("host_listen_drops", after.listen_drops - before.listen_drops);
    return report;
}

}  // namespace sonde::load
