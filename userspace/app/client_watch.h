// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "userspace/app/client_finder.h"
#include "userspace/probes/start_probe.h"

namespace sonde {

// The clients that run now, and those that start, restart or are upgraded while it is asked. One thread.
class ClientWatch {
  public:
    // What came since the last call.
    struct News {
        std::vector<ClientTarget> targets;
        std::vector<std::string> refusals;  // what is there and cannot be timed, a line each; each line once
    };

    ClientWatch(Catalog catalog, ClientSelection selection);
    ClientWatch(const ClientWatch&) = delete;
    ClientWatch& operator=(const ClientWatch&) = delete;

    // Those that run now. To be called first.
    News begin();
    // Processes that start are noticed from here on.
    Status watch(const KernelFeatures& features);
    News poll();
    // Names of the clients that were found, each once.
    [[nodiscard]] const std::set<std::string>& found() const { return found_; }

  private:
    void look_at(pid_t pid, News& into);
    void take(const FoundClient& found, News& into);

    Catalog catalog_;
    ClientSelection selection_;
    RootedFs fs_;
    ClientFinder finder_;
    std::unique_ptr<StartProbe> starts_;
    std::vector<pid_t> young_;  // started between the last two calls
    std::deque<pid_t> waiting_;
    // What has been looked at already: a process, and the program that it was then.
    std::set<std::pair<std::pair<pid_t, uint64_t>, FileIdentity>> known_;
    std::set<std::string> said_;
    std::set<std::string> found_;
};

}  // namespace sonde
