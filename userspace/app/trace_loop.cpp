// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/trace_loop.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <csignal>

#include "userspace/base/unique_fd.h"

namespace sonde {
namespace {

using std::chrono::nanoseconds;

// Ended processes give their slots back within two of these.
constexpr std::chrono::milliseconds kHousekeeping{250};

sigset_t ending_signals()
{
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        // What was ignored when we were started stays so: nohup, a shell's background jobs.
        struct sigaction action {};
        if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(&set, signal);
        }
    }
    return set;
}

timespec to_timespec(nanoseconds t)
{
    return {static_cast<time_t>(t.count() / 1'000'000'000), static_cast<long>(t.count() % 1'000'000'000)};
}

// A timer on the monotonic clock; without `first` it never fires.
UniqueFd make_timer(std::optional<nanoseconds> first, bool repeat)
{
    UniqueFd fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (fd && first) {
        itimerspec spec{};
        spec.it_value = to_timespec(*first);
        if (repeat) {
            spec.it_interval = to_timespec(*first);
        }
        timerfd_settime(fd.get(), 0, &spec, nullptr);
    }
    return fd;
}

void drain(int fd)
{
    std::array<char, 64> buffer;
    while (::read(fd, buffer.data(), buffer.size()) > 0) {
    }
}

}  // namespace

void block_ending_signals()
{
    const sigset_t set = ending_signals();
    sigprocmask(SIG_BLOCK, &set, nullptr);
}

Result<EndReason> run_loop(TraceSession& session, const LoopConfig& config)
{
    const sigset_t signals = ending_signals();
    const UniqueFd signal_fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    const UniqueFd housekeeping = make_timer(kHousekeeping, true);
    const UniqueFd interval = make_timer(config.interval, true);
    const UniqueFd end = make_timer(config.duration, false);
    if (!signal_fd || !housekeeping || !interval || !end) {
        return Error::from_errno(errno, "set up timers");
    }
    std::array<pollfd, 5> fds{{{config.target_pidfd, POLLIN, 0},
                               {signal_fd.get(), POLLIN, 0},
                               {end.get(), POLLIN, 0},
                               {interval.get(), POLLIN, 0},
                               {housekeeping.get(), POLLIN, 0}}};
    const auto begin = std::chrono::steady_clock::now();
    int signals_seen = 0;
    double last_second = 0;
    for (;;) {
        if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) {
            return Error::from_errno(errno, "wait");
        }
        if (fds[0].revents != 0) {
            return EndReason::kTargetEnded;
        }
        if (fds[1].revents != 0) {
            signalfd_siginfo info{};
            const bool read_one = ::read(signal_fd.get(), &info, sizeof(info)) == sizeof(info);
            const bool go_on = read_one && ++signals_seen == 1 && config.on_signal &&
                               config.on_signal(static_cast<int>(info.ssi_signo), info.ssi_code <= 0);
            if (!go_on) {
                return EndReason::kSignal;
            }
        }
        if (fds[2].revents != 0) {
            return EndReason::kDuration;
        }
        if (fds[3].revents != 0) {
            drain(interval.get());
            if (Status status = config.on_interval(); !status) {
                return status.error();
            }
        }
        if (fds[4].revents != 0) {
            drain(housekeeping.get());
            session.maintain();
            const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
            if (config.on_second && std::floor(elapsed.count()) > last_second) {
                last_second = std::floor(elapsed.count());
                config.on_second(last_second);
            }
        }
    }
}

}  // namespace sonde
