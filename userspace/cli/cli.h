// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/base/result.h"

namespace sonde::cli {

// Exit statuses of every command. `trace -- COMMAND` passes on the command's own instead.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;       // the job failed
inline constexpr int kUsage = 2;        // unknown option, bad value
inline constexpr int kUnsupported = 3;  // this kernel or these privileges cannot do it

// The whole program: argv in, exit status out.
int run(const std::vector<std::string>& argv);

// One per file; `arguments` are those behind the command's name.
int run_trace(const std::vector<std::string>& arguments);
int run_doctor(const std::vector<std::string>& arguments);
int run_catalog(const std::vector<std::string>& arguments);
int run_clients(const std::vector<std::string>& arguments);
int run_symbols(const std::vector<std::string>& arguments);

// Prints "sonde COMMAND: what" to stderr, in one line of printable characters; returns the exit status for it.
int report(std::string_view command, const Error& error);
int report_usage(std::string_view command, const std::string& what);

enum class LogLevel { kNothing, kWarnings, kEverything };
// Sends the program's log to stderr, a line each, as "sonde COMMAND: ...".
void start_log(const std::string& command, LogLevel level);

// Writes all of it to standard output. A closed pipe or a full disk is an error; so is an ending signal that
// comes while nobody reads. Works on blocking and non-blocking descriptors. While a slow reader keeps it waiting it
// calls `meanwhile` four times a second.
[[nodiscard]] Status write_output(std::string_view text, const std::function<void()>& meanwhile = {});

// Whether to use colour on this descriptor: "always", "never", or "auto" (a terminal, and NO_COLOR is not set).
[[nodiscard]] bool use_color(std::string_view when, int fd);
// Width of the terminal behind stdout, or 0.
[[nodiscard]] int terminal_width();
// Whether the locale can show block characters.
[[nodiscard]] bool use_utf8();

}  // namespace sonde::cli
