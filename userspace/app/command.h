// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/base/unique_fd.h"

namespace sonde {

// A program that is started, held before its first instruction until the probes count, and waited for. If it is
// destroyed before release(), the program never runs; afterwards it goes on without us.
class Command {
  public:
    // REQUIRES: argv is not empty.
    static Result<Command> start(const std::vector<std::string>& argv);
    Command(Command&&) = default;
    Command& operator=(Command&&) = delete;
    ~Command();

    [[nodiscard]] pid_t pid() const { return pid_; }
    // Becomes readable when the program has ended.
    [[nodiscard]] int pidfd() const { return pidfd_.get(); }
    // Lets it run. The error is exec's: no such program, no permission.
    Status release();
    // Exit status as a shell would give it (128 + signal), once pidfd() is readable.
    int wait();

  private:
    Command(pid_t pid, UniqueFd pidfd, UniqueFd gate, UniqueFd failure)
        : pid_(pid), pidfd_(std::move(pidfd)), gate_(std::move(gate)), failure_(std::move(failure))
    {}
    pid_t pid_;
    UniqueFd pidfd_;
    UniqueFd gate_;     // closing it lets the child run or, without a byte written, end
    UniqueFd failure_;  // carries exec's errno; closed by a successful exec
};

}  // namespace sonde
