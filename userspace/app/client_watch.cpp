// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/client_watch.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace sonde {
namespace {

// Of a call, after which the rest waits for the next: programs that start must not keep a trace from its work.
constexpr std::chrono::milliseconds kTime{100};
constexpr size_t kMostSaid = 1000;
constexpr size_t kMostKnown = 100'000;

}  // namespace

ClientWatch::ClientWatch(Catalog catalog, ClientSelection selection)
    : catalog_(std::move(catalog)), selection_(std::move(selection)), finder_(catalog_, fs_)
{}

void ClientWatch::take(const FoundClient& found, News& into)
{
    found_.insert(found.client->client);
    const auto say = [this, &into, &found](const std::string& what) {
        std::string kind = found.client->client + what;  // whichever process it is said of
        std::erase_if(kind, [](char c) { return c >= '0' && c <= '9'; });
        if (said_.size() < kMostSaid && said_.insert(kind).second) {
            into.refusals.push_back(found.client->client + ": " + what);
        }
    };
    std::for_each(found.problems.begin(), found.problems.end(), say);
    std::vector<ClientTarget> targets = targets_of(found, selection_, fs_);
    bool any = !targets.empty();
    for (const ClientProgram& program : found.programs) {
        for (const ProgramCall& call : program.calls) {
            if (selection_.wants(*call.call)) {
                const std::string part = call.sites.copies.empty() ? "" : "a part of " + call.call->call + ", ";
                for (const std::string& refusal : call.refusals) {
                    say(part + refusal);
                }
            }
        }
    }
    if (!any) {
        say(found.client->without_symbols.empty() ? "none of its functions is in the symbols of its program"
                                                  : found.client->without_symbols);
    }
    std::move(targets.begin(), targets.end(), std::back_inserter(into.targets));
}

void ClientWatch::look_at(pid_t pid, News& into)
{
    const Result<ProcessInfo> process = read_process(fs_, pid);
    if (!process || process->executable.empty() || pid == ::getpid()) {
        return;
    }
    const Result<FileIdentity> file = TargetFile::identity_of(fs_.resolve("/proc/" + std::to_string(pid) + "/exe"));
    if (!file || !known_.insert({{pid, process->start_ticks}, *file}).second) {
        return;
    }
    const CatalogClient* client = selection_.wants(*process) ? finder_.identify(*process) : nullptr;
    if (client != nullptr && selection_.wants(*client)) {
        take(finder_.examine(*process, *client), into);
    }
}

ClientWatch::News ClientWatch::begin()
{
    News news;
    const Result<std::vector<pid_t>> pids = process_ids(fs_);
    for (const pid_t pid : pids ? *pids : std::vector<pid_t>()) {
        look_at(pid, news);
    }
    return news;
}

Status ClientWatch::watch(const KernelFeatures& features)
{
    Result<std::unique_ptr<StartProbe>> starts = load_start_probe(features);
    if (!starts) {
        return starts.error();
    }
    starts_ = std::move(*starts);
    return ok();
}

ClientWatch::News ClientWatch::poll()
{
    News news;
    if (!starts_) {
        return news;
    }
    StartProbe::Starts starts = starts_->take();
    if (starts.missed) {
        if (Result<std::vector<pid_t>> all = process_ids(fs_)) {
            starts.pids = std::move(*all);
        }
    }
    // Not before the next call: one that ends at once, as a connection's process may, is not worth its probes.
    std::sort(starts.pids.begin(), starts.pids.end());
    starts.pids.erase(std::unique(starts.pids.begin(), starts.pids.end()), starts.pids.end());
    const std::vector<pid_t> older = std::exchange(young_, std::move(starts.pids));
    if (starts.missed) {
        waiting_.clear();  // they are all among those
    }
    waiting_.insert(waiting_.end(), older.begin(), older.end());
    if (known_.size() > kMostKnown) {
        known_.clear();  // some are looked at once more, for nothing
    }
    for (const auto end = std::chrono::steady_clock::now() + kTime;
         !waiting_.empty() && std::chrono::steady_clock::now() < end;) {
        look_at(waiting_.front(), news);
        waiting_.pop_front();
    }
    return news;
}

}  // namespace sonde
