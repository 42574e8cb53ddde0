// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "userspace/app/trace_session.h"
#include "userspace/base/result.h"

namespace sonde {

enum class EndReason { kDuration, kSignal, kTargetEnded };

// What ends a session, and what is to happen in between. Fd -1 and an empty optional mean "never".
struct LoopConfig {
    std::optional<std::chrono::nanoseconds> duration;
    std::optional<std::chrono::nanoseconds> interval;
    int target_pidfd = -1;  // ends the loop when it becomes readable
    // Called with the first signal, and whether a process sent it (not the terminal). True: the loop goes on, because
    // a command has the signal too and will end in its own way; a second signal then ends the loop.
    std::function<bool(int signal, bool from_process)> on_signal;
    std::function<Status()> on_interval;
    std::function<void(double elapsed_s)> on_second;
};

// Blocks SIGINT, SIGTERM and SIGHUP for this thread, so that run_loop can wait for them. Before any fork.
void block_ending_signals();

// Waits until the session is over, doing its housekeeping. Only on_interval's errors end it early with an error.
[[nodiscard]] Result<EndReason> run_loop(TraceSession& session, const LoopConfig& config);

}  // namespace sonde
