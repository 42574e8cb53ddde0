// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/symbol_child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <new>

#include "userspace/base/unique_fd.h"
#include "userspace/symbols/sandbox.h"

namespace sonde {
namespace {

// The first byte of what comes back.
constexpr char kReport = 'R';
constexpr char kError = 'E';

void write_all(int fd, const char* data, size_t size)
{
    while (size > 0) {
        const ssize_t n = ::write(fd, data, size);
        if (n <= 0) {
            return;  // nobody wants it
        }
        data += n;
        size -= static_cast<size_t>(n);
    }
}

void write_error(int fd, const Error& error)
{
    const std::string text = kError + error.what;
    write_all(fd, text.data(), text.size());
}

// noexcept: nothing goes on into what the parent does.
[[noreturn]] void run_child(int out, const SymbolRequest& request, const ChildLimits& limits, pid_t parent) noexcept
{
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
        std::signal(signal, SIG_DFL);
    }
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {
        ::_exit(1);
    }
    try {
        const Result<SymbolFiles> files = SymbolFiles::open(request);
        if (!files) {
            write_error(out, files.error());
            ::_exit(0);
        }
        std::vector<int> keep{out, files->program.fd()};
        if (files->debug) {
            keep.push_back(files->debug->fd());
        }
        const auto cpu_seconds = static_cast<uint64_t>(limits.time.count() / 1000 + 1);
        if (Status status = shut_in({limits.memory_bytes, cpu_seconds}, std::move(keep)); !status) {
            write_error(out, status.error().with("shut the reader of " + request.path + " in"));
            ::_exit(0);
        }
        Result<SymbolReport> report = read_symbols(request, *files);
        if (!report) {
            write_error(out, report.error());
            ::_exit(0);
        }
        const std::vector<char> bytes = encode(std::move(*report));
        write_all(out, &kReport, 1);
        write_all(out, bytes.data(), bytes.size());
    } catch (const std::bad_alloc&) {
        write_error(out, Error{ENOMEM, request.path + ": it takes more than " +
                                           std::to_string(limits.memory_bytes >> 20) + " MB to read"});
    }
    ::_exit(0);
}

using Clock = std::chrono::steady_clock;

// What comes until the writer closes; an error when that takes too long or is too much.
Result<std::vector<char>> read_until(int fd, Clock::time_point deadline, uint64_t most)
{
    constexpr size_t kStep = size_t{1} << 18;
    std::vector<char> bytes;
    while (true) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd wait{fd, POLLIN, 0};
        const int ready = left <= 0 ? 0 : ::poll(&wait, 1, static_cast<int>(left));
        if (ready == 0) {
            return Error{ETIMEDOUT, "it takes too long to read"};
        }
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        const size_t before = bytes.size();
        if (before > most) {
            return Error{EFBIG, "there is too much to say of it"};
        }
        bytes.resize(before + kStep);
        const ssize_t n = ::read(fd, bytes.data() + before, kStep);
        bytes.resize(before + static_cast<size_t>(std::max<ssize_t>(n, 0)));
        if (n < 0 && errno != EINTR) {
            return Error::from_errno(errno, "read the report");
        }
        if (n == 0) {
            return bytes;
        }
    }
}

// How it ended, once it has; a child that says all and stays is killed.
int reap(pid_t child)
{
    constexpr int kWaitMs = 1;
    constexpr std::chrono::seconds kPatience{1};
    int status = 0;
    for (const Clock::time_point end = Clock::now() + kPatience; Clock::now() < end;
         (void)::poll(nullptr, 0, kWaitMs)) {
        if (::waitpid(child, &status, WNOHANG) != 0) {
            return status;
        }
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    return status;
}

std::string how_it_ended(int status)
{
    if (WIFEXITED(status)) {
        return "ended with status " + std::to_string(WEXITSTATUS(status));
    }
    const char* name = ::sigabbrev_np(WTERMSIG(status));
    return "was killed by " +
           (name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(WTERMSIG(status)));
}

}  // namespace

Result<SymbolReport> read_symbols_in_child(const SymbolRequest& request, const ChildLimits& limits)
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return Error::from_errno(errno, "pipe");
    }
    const UniqueFd in(ends[0]);
    UniqueFd out(ends[1]);
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) {
        return Error::from_errno(errno, "fork");
    }
    if (child == 0) {
        run_child(out.get(), request, limits, parent);
    }
    out.reset();
    const Result<std::vector<char>> bytes = read_until(in.get(), Clock::now() + limits.time, limits.report_bytes);
    if (!bytes) {
        ::kill(child, SIGKILL);
        reap(child);
        return bytes.error().with(request.path);
    }
    if (const int status = reap(child); status != 0) {
        return Error{EBADMSG, request.path + ": its reader " + how_it_ended(status)};
    }
    const Bytes all(*bytes);
    if (all.view().starts_with(kError)) {
        return Error{EINVAL, std::string(all.view().substr(1))};
    }
    Result<SymbolReport> report = decode_report(all.part(1));
    if (!all.view().starts_with(kReport) || !report) {
        return Error{EBADMSG, request.path + ": its reader did not finish"};
    }
    return report;
}

}  // namespace sonde
