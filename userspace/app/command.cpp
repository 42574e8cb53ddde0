// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/command.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace sonde {
namespace {

constexpr int kNotReleased = 127;

// In the child: waits for the gate, then becomes the program. Async-signal-safe calls only.
[[noreturn]] void run_child(const std::vector<char*>& argv, int gate, int failure, const sigset_t& signals)
{
    char go = 0;
    if (::read(gate, &go, 1) != 1) {
        ::_exit(kNotReleased);
    }
    ::sigprocmask(SIG_SETMASK, &signals, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::execvp(argv[0], argv.data());
    const int error = errno;
    if (::write(failure, &error, sizeof(error)) < 0) {
        ::_exit(kNotReleased);
    }
    ::_exit(kNotReleased);
}

}  // namespace

Result<Command> Command::start(const std::vector<std::string>& words)
{
    std::vector<char*> argv;
    for (const std::string& word : words) {
        argv.push_back(const_cast<char*>(word.c_str()));
    }
    argv.push_back(nullptr);
    int gate[2];
    int failure[2];
    if (::pipe2(gate, O_CLOEXEC) != 0) {
        return Error::from_errno(errno, "start " + words[0]);
    }
    UniqueFd gate_read(gate[0]);
    UniqueFd gate_write(gate[1]);
    if (::pipe2(failure, O_CLOEXEC) != 0) {
        return Error::from_errno(errno, "start " + words[0]);
    }
    UniqueFd failure_read(failure[0]);
    UniqueFd failure_write(failure[1]);
    sigset_t none;
    sigemptyset(&none);
    const pid_t pid = ::fork();
    if (pid < 0) {
        return Error::from_errno(errno, "start " + words[0]);
    }
    if (pid == 0) {
        gate_write.reset();
        failure_read.reset();
        run_child(argv, gate_read.get(), failure_write.get(), none);
    }
    UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) {
        const int error = errno;
        gate_write.reset();
        ::waitpid(pid, nullptr, 0);
        return Error::from_errno(error, "watch " + words[0]);
    }
    return Command(pid, std::move(pidfd), std::move(gate_write), std::move(failure_read));
}

Command::~Command()
{
    if (gate_) {
        gate_.reset();
        ::waitpid(pid_, nullptr, 0);
    }
}

Status Command::release()
{
    const char go = 1;
    if (::write(gate_.get(), &go, 1) != 1) {
        return Error::from_errno(errno, "start the command");
    }
    gate_.reset();
    int error = 0;
    ssize_t n = 0;
    do {
        n = ::read(failure_.get(), &error, sizeof(error));
    } while (n < 0 && errno == EINTR);
    if (n == sizeof(error)) {
        wait();
        return Error{error, std::strerror(error)};
    }
    return ok();
}

int Command::wait()
{
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace sonde
