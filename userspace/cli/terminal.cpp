// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "userspace/cli/cli.h"
#include "userspace/export/utf8.h"

namespace sonde::cli {

int report(std::string_view command, const Error& error)
{
    const std::string prefix = command.empty() ? "sonde" : "sonde " + std::string(command);
    std::fprintf(stderr, "%s: %s\n", prefix.c_str(), printable(error.what).c_str());
    switch (error.code) {
        case EPERM:
        case ENOTSUP:
            return kUnsupported;
        default:
            return kFailed;
    }
}

int report_usage(std::string_view command, const std::string& what)
{
    report(command, Error{0, what});
    return kUsage;
}

void start_log(const std::string& command, LogLevel level)
{
    auto logger = spdlog::stderr_logger_st(command);
    logger->set_pattern("sonde %n: %v");
    logger->set_level(level == LogLevel::kNothing    ? spdlog::level::off
                      : level == LogLevel::kWarnings ? spdlog::level::warn
                                                     : spdlog::level::debug);
    spdlog::set_default_logger(std::move(logger));
}

namespace {

// poll says that a pipe is writable when this much fits without waiting.
constexpr size_t kPipeChunk = 4096;
constexpr std::chrono::milliseconds kPatience{250};

// The ending signals are blocked while a trace runs, so one that has come shows here and not as EINTR.
bool ending_signal_waits()
{
    sigset_t waiting;
    sigpending(&waiting);
    return sigismember(&waiting, SIGINT) == 1 || sigismember(&waiting, SIGTERM) == 1 ||
           sigismember(&waiting, SIGHUP) == 1;
}

}  // namespace

Status write_output(std::string_view text, const std::function<void()>& meanwhile)
{
    auto last = std::chrono::steady_clock::now();
    while (!text.empty()) {
        pollfd out{STDOUT_FILENO, POLLOUT, 0};
        const int ready = ::poll(&out, 1, static_cast<int>(kPatience.count()));
        if (const auto now = std::chrono::steady_clock::now(); meanwhile && now - last >= kPatience) {
            last = now;
            meanwhile();
        }
        if (ready == 0 && ending_signal_waits()) {
            return Error{EINTR, "write standard output: interrupted while nobody reads it"};
        }
        if (ready <= 0) {
            continue;
        }
        const ssize_t n = ::write(STDOUT_FILENO, text.data(), std::min(text.size(), kPipeChunk));
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (n < 0) {
            return Error::from_errno(errno == EPERM ? EIO : errno, "write standard output");
        }
        text.remove_prefix(static_cast<size_t>(n));
    }
    return ok();
}

bool use_color(std::string_view when, int fd)
{
    if (when != "auto") {
        return when == "always";
    }
    const char* no_color = std::getenv("NO_COLOR");
    const char* term = std::getenv("TERM");
    const bool dumb = term != nullptr && std::string_view(term) == "dumb";
    return ::isatty(fd) == 1 && !dumb && (no_color == nullptr || *no_color == '\0');
}

int terminal_width()
{
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    return 0;
}

bool use_utf8()
{
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(name);
        if (value != nullptr && *value != '\0') {
            std::string locale = value;
            std::transform(locale.begin(), locale.end(), locale.begin(), ::tolower);
            return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
        }
    }
    return false;
}

}  // namespace sonde::cli
