// SPDX-License-Identifier: Apache-2.0
//
// Loads that wait for one reason each, so that nearly all their time off the CPU has that reason. The task
// with the role "waiter" is the measured one; the "feeder" that answers or feeds it is another process, named
// load-peer, which itself sleeps. The samples are the durations of the waiter's blocking calls.
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "tests/load/loads.h"
#include "tests/load/tcp_sockets.h"
#include "userspace/base/unique_fd.h"

namespace sonde::load {
namespace {

uint64_t wait_ns_of(const Options& options)
{
    return options.number("usec", 1000, 1, 10'000'000) * 1000;
}

Report wait_report(const std::string& load, const Samples& waits, TaskTable& tasks)
{
    Report report(load);
    report.add("count", waits.count());
    report.add("latency_ns", waits);
    report.add(tasks);
    return report;
}

// Sends a byte every `wait_ns` until the load stops.
void feed(int fd, uint64_t wait_ns, TaskTruth& truth, int cpu)
{
    TaskScope scope(truth, "feeder", cpu);
    uint64_t sent = 0;
    while (!stop_requested()) {
        sleep_ns(wait_ns);
        check_retried([&] { return ::write(fd, "x", 1); }, "feed");
        ++sent;
    }
    scope.finish(sent, 0);
}

// Runs `wait_once` (one blocking call, whose duration it adds to the samples) against a feeder of
// `feeder_fd`.
template <class WaitOnce>
Report run_fed(const std::string& load, const Options& options, int feeder_fd, WaitOnce wait_once)
{
    TaskTable tasks(2);
    Worker feeder(Worker::Kind::kProcess, "load-peer",
                  [&] { feed(feeder_fd, wait_ns_of(options), tasks[1], options.cpu_of(1)); });
    announce(options);
    TaskScope scope(tasks[0], "waiter", options.cpu_of(0));
    const Limit limit(options);
    Samples waits;
    while (!limit.reached(waits.count())) {
        wait_once(waits);
    }
    scope.finish(waits.count(), waits.sum_ns());
    request_stop();
    feeder.join();
    return wait_report(load, waits, tasks);
}

struct Ends {
    UniqueFd waiter;
    UniqueFd feeder;
};

Ends make_socketpair()
{
    std::array<int, 2> fds{};
    check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), "socketpair");
    return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Two threads pass a turn to each other. The one whose turn it is holds it in a futex wait that times out, so
// that both threads leave the CPU for futexes only.
class Handover {
  public:
    explicit Handover(const Options& options) : options_(options), hold_ns_(wait_ns_of(options)) {}

    void run(uint32_t me, TaskTruth& truth, Samples& waits)
    {
        TaskScope scope(truth, me == 0 ? "waiter" : "waiter2", options_.cpu_of(me));
        const Limit limit(options_);
        uint64_t blocked_ns = 0;
        uint64_t turns = 0;
        while (take_turn(me, waits, blocked_ns)) {
            const uint64_t start_ns = now_ns();
            wait(never_, 0, hold_ns_);
            blocked_ns += now_ns() - start_ns;
            ++turns;
            const bool over = me == 0 && limit.reached(2 * turns);
            pass_turn(over ? kOver : 1 - me);
        }
        scope.finish(turns, blocked_ns);
    }

  private:
    static constexpr uint32_t kOver = 2;

    // False when the load is over.
    bool take_turn(uint32_t me, Samples& waits, uint64_t& blocked_ns)
    {
        uint32_t turn = turn_.load();
        if (turn != me && turn != kOver) {
            const uint64_t start_ns = now_ns();
            while (turn != me && turn != kOver) {
                wait(turn_, turn, kNsPerSec);
                turn = turn_.load();
            }
            waits.add(now_ns() - start_ns);
            blocked_ns += now_ns() - start_ns;
        }
        return turn != kOver;
    }

    void pass_turn(uint32_t to)
    {
        turn_.store(to);
        check(::syscall(SYS_futex, &turn_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0), "futex wake");
    }

    static void wait(std::atomic<uint32_t>& word, uint32_t while_value, uint64_t at_most_ns)
    {
        const timespec timeout{static_cast<time_t>(at_most_ns / kNsPerSec), static_cast<long>(at_most_ns % kNsPerSec)};
        const long result = ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, while_value, &timeout, nullptr, 0);
        if (result < 0 && errno != ETIMEDOUT && errno != EAGAIN && errno != EINTR) {
            fail("futex wait");
        }
    }

    const Options& options_;
    uint64_t hold_ns_;
    std::atomic<uint32_t> turn_{0};
    std::atomic<uint32_t> never_{0};  // nobody wakes a wait on it
};

// io_uring, with one request at a time: too little for a library.
class Ring {
  public:
    Ring()
    {
        io_uring_params params{};
        fd_ = UniqueFd(static_cast<int>(check(::syscall(SYS_io_uring_setup, 1, &params), "io_uring_setup")));
        rings_ = map(params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe), IORING_OFF_SQ_RING);
        entry_ = static_cast<io_uring_sqe*>(map(sizeof(io_uring_sqe), IORING_OFF_SQES));
        submitted_ = at(params.sq_off.tail);
        completed_ = at(params.cq_off.head);
    }

    // Reads a byte, and waits until it is there.
    void read_byte(int fd, char& byte)
    {
        *entry_ = {};
        entry_->opcode = IORING_OP_READ;
        entry_->fd = fd;
        entry_->addr = reinterpret_cast<uint64_t>(&byte);
        entry_->len = 1;
        submitted_->fetch_add(1, std::memory_order_release);
        int to_submit = 1;
        check_retried(
            [&] {
                const long done =
                    ::syscall(SYS_io_uring_enter, fd_.get(), to_submit, 1, IORING_ENTER_GETEVENTS, nullptr, 0);
                to_submit -= done > 0 ? 1 : 0;
                return done;
            },
            "io_uring_enter");
        completed_->fetch_add(1, std::memory_order_release);
    }

  private:
    void* map(size_t bytes, off_t offset)
    {
        void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), offset);
        if (memory == MAP_FAILED) {
            fail("map a ring of io_uring");
        }
        return memory;
    }
    std::atomic<uint32_t>* at(uint32_t offset)
    {
        return reinterpret_cast<std::atomic<uint32_t>*>(static_cast<char*>(rings_) + offset);
    }

    UniqueFd fd_;
    void* rings_ = nullptr;
    io_uring_sqe* entry_ = nullptr;
    std::atomic<uint32_t>* submitted_ = nullptr;
    std::atomic<uint32_t>* completed_ = nullptr;
};

}  // namespace

Report run_sleep(const Options& options)
{
    TaskTable tasks(1);
    announce(options);
    TaskScope scope(tasks[0], "waiter", options.cpu_of(0));
    const Limit limit(options);
    const uint64_t wait_ns = wait_ns_of(options);
    Samples waits;
    while (!limit.reached(waits.count())) {
        const uint64_t start_ns = now_ns();
        sleep_ns(wait_ns);
        waits.add(now_ns() - start_ns);
    }
    scope.finish(waits.count(), waits.sum_ns());
    return wait_report("sleep", waits, tasks);
}

// The count is that of turns of both threads; the samples are the waits for the turn.
Report run_futex(const Options& options)
{
    TaskTable tasks(2);
    Handover handover(options);
    std::array<Samples, 2> waits;
    announce(options);
    Worker other(Worker::Kind::kThread, comm_of(options), [&] { handover.run(1, tasks[1], waits[1]); });
    handover.run(0, tasks[0], waits[0]);
    other.join();
    Samples all;
    all.add_all(waits[0]);
    all.add_all(waits[1]);
    Report report("futex");
    report.add("count", tasks.sum(&TaskTruth::operations));
    report.add("latency_ns", all);
    report.add(tasks);
    return report;
}

// Blocking recv on a loopback TCP connection (--unix: a socket pair) whose peer answers after --usec.
Report run_recv(const Options& options)
{
    Ends ends = make_socketpair();
    if (!options.has("unix")) {
        const UniqueFd listener = tcp::listen_on_loopback(AF_INET, 0, 1);
        ends.waiter = tcp::connect_to_loopback(AF_INET, tcp::port_of(listener));
        ends.feeder = tcp::accept_one(listener);
    }
    TaskTable tasks(2);
    Worker peer(Worker::Kind::kProcess, "load-peer", [&] {
        TaskScope scope(tasks[1], "feeder", options.cpu_of(1));
        ends.waiter.reset();
        char byte = 0;
        uint64_t answers = 0;
        while (check_retried([&] { return ::recv(ends.feeder.get(), &byte, 1, 0); }, "receive a request") == 1) {
            sleep_ns(wait_ns_of(options));
            tcp::send_all(ends.feeder, &byte, 1);
            ++answers;
        }
        scope.finish(answers, 0);
    });
    ends.feeder.reset();
    announce(options);
    TaskScope scope(tasks[0], "waiter", options.cpu_of(0));
    const Limit limit(options);
    Samples waits;
    while (!limit.reached(waits.count())) {
        char byte = 'q';
        tcp::send_all(ends.waiter, &byte, 1);
        const uint64_t start_ns = now_ns();
        tcp::receive_all(ends.waiter, &byte, 1);
        waits.add(now_ns() - start_ns);
    }
    scope.finish(waits.count(), waits.sum_ns());
    ends.waiter.reset();
    peer.join();
    return wait_report("recv", waits, tasks);
}

Report run_read_pipe(const Options& options)
{
    std::array<int, 2> fds{};
    check(::pipe2(fds.data(), O_CLOEXEC), "pipe2");
    const UniqueFd read_end(fds[0]);
    const UniqueFd write_end(fds[1]);
    return run_fed("read-pipe", options, write_end.get(), [&](Samples& waits) {
        char byte = 0;
        const uint64_t start_ns = now_ns();
        check_retried([&] { return ::read(read_end.get(), &byte, 1); }, "read from a pipe");
        waits.add(now_ns() - start_ns);
    });
}

Report run_poll(const Options& options)
{
    const Ends ends = make_socketpair();
    const UniqueFd epoll(static_cast<int>(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")));
    epoll_event interest{};
    interest.events = EPOLLIN;
    check(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, ends.waiter.get(), &interest), "epoll_ctl");
    return run_fed("poll", options, ends.feeder.get(), [&](Samples& waits) {
        epoll_event event{};
        char byte = 0;
        const uint64_t start_ns = now_ns();
        check_retried([&] { return ::epoll_wait(epoll.get(), &event, 1, -1); }, "epoll_wait");
        waits.add(now_ns() - start_ns);
        check(::recv(ends.waiter.get(), &byte, 1, MSG_DONTWAIT), "receive what epoll announced");
    });
}

Report run_ring(const Options& options)
{
    const Ends ends = make_socketpair();
    Ring ring;
    return run_fed("ring", options, ends.feeder.get(), [&](Samples& waits) {
        char byte = 0;
        const uint64_t start_ns = now_ns();
        ring.read_byte(ends.waiter.get(), byte);
        waits.add(now_ns() - start_ns);
    });
}

}  // namespace sonde::load
