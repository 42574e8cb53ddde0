// SPDX-License-Identifier: Apache-2.0
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
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

Status write_output(std::string_view text)
{
    while (!text.empty()) {
        const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
        if (n < 0 && errno == EINTR) {
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
