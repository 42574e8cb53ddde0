// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/client_report.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "userspace/app/call_targets.h"
#include "userspace/host/tcp_state.h"

namespace sonde {
namespace {

// "(devel)" is what a build from a folder without its history says.
std::string go_version_of(const GoBuildInfo& go)
{
    constexpr size_t kShownRevision = 10;
    if (!go.main.version.empty() && go.main.version != "(devel)") {
        return go.main.version;
    }
    const auto revision = go.settings.find("vcs.revision");
    return revision == go.settings.end() ? "" : "revision " + revision->second.substr(0, kShownRevision);
}

std::string version_of(const BinaryFacts& facts)
{
    return facts.go ? go_version_of(*facts.go) : facts.version;
}

// "rustc version 1.95.0 (...)" and "GCC: (Debian 12.2.0-14) 12.2.0", as the section .comment has them.
std::string runtime_of(const CatalogClient& client, const BinaryFacts& facts)
{
    if (facts.go) {
        return facts.go->go_version;
    }
    const std::map<std::string, std::string> managed{{"java", "Java"}, {"dotnet", ".NET"}, {"node", "Node.js"}};
    if (const auto found = managed.find(client.runtime); found != managed.end()) {
        return found->second;
    }
    constexpr std::string_view kRust("rustc version ");
    if (const size_t at = facts.compilers.find(kRust); at != std::string::npos) {
        const std::string behind = facts.compilers.substr(at + kRust.size());
        return "rustc " + behind.substr(0, behind.find_first_of(" ;"));
    }
    const std::string compiler = facts.compilers.substr(0, facts.compilers.find(';'));
    return std::string(client.runtime == "rust"  ? "Rust"
                       : client.runtime == "nim" ? "Nim"
                                                 : "C/C++") +
           (compiler.empty() ? "" : " (" + compiler + ")");
}

std::string symbols_of(const BinaryFacts& facts)
{
    if (facts.has_symtab) {
        return "symbol table";
    }
    if (!facts.go_table.empty()) {
        return "stripped, Go's function table";
    }
    return facts.has_dynsym ? "stripped, dynamic symbols" : "stripped";
}

CallReport report_call(const ProgramCall& call, bool seccomp, const std::optional<KernelFeatures>& features)
{
    CallReport report{call.call, CallState::kTimed, "", false};
    if (call.sites.copies.empty()) {
        report.state = call.refusals.empty() ? CallState::kAbsent : CallState::kRefused;
        report.why = call.refusals.empty() ? "" : call.refusals.front();
        return report;
    }
    report.why = features ? why_not_timed(call.sites, seccomp, *features) : "";
    report.state = report.why.empty() ? CallState::kTimed : CallState::kRefused;
    if (report.state == CallState::kTimed && !call.refusals.empty()) {
        report.state = CallState::kPartly;
        report.why = call.refusals.front();
    }
    report.dear = std::any_of(call.sites.copies.begin(), call.sites.copies.end(),
                              [](const CallSites& copy) { return copy.stepped; });
    return report;
}

}  // namespace

const char* state_name(CallState state)
{
    switch (state) {
        case CallState::kTimed:
            return "can be timed";
        case CallState::kPartly:
            return "in part";
        case CallState::kRefused:
            return "let alone";
        case CallState::kAbsent:
            return "absent";
    }
    return "";
}

ClientsReport report_clients(const Catalog& catalog, const RootedFs& fs)
{
    ClientsReport all;
    std::optional<KernelFeatures> features;
    if (Result<KernelFeatures> asked = KernelFeatures::probe("")) {
        features = std::move(*asked);
    } else {
        all.kernel_unknown = asked.error().what;
    }
    ClientFinder finder(catalog, fs);
    std::map<std::pair<std::string, FileIdentity>, size_t> index;  // of clients that run the same program
    for (FoundClient& found : finder.find_all()) {
        const BinaryFacts facts = found.programs.empty() ? BinaryFacts() : found.programs.front().facts;
        const pid_t pid = found.process.pid;
        const auto [at, is_new] = index.try_emplace({found.client->client, facts.file}, all.clients.size());
        if (!is_new && !found.programs.empty()) {
            all.clients[at->second].pids.push_back(pid);
            continue;
        }
        at->second = all.clients.size();
        ClientReport report;
        report.pids = {pid};
        report.version = version_of(facts);
        report.runtime = runtime_of(*found.client, facts);
        report.symbols = found.programs.empty() ? "" : symbols_of(facts);
        report.owner = cgroup_owner(found.process.cgroup);
        report.ports = ports_of_process(fs, pid);
        const bool seccomp = has_seccomp_filter(fs, pid);
        bool any = false;
        for (const ClientProgram& program : found.programs) {
            for (const ProgramCall& call : program.calls) {
                report.calls.push_back(report_call(call, seccomp, features));
                any = any || report.calls.back().state <= CallState::kPartly;
            }
        }
        report.what_would_help = any ? "" : found.client->without_symbols;
        report.client = std::move(found);
        all.clients.push_back(std::move(report));
    }
    return all;
}

}  // namespace sonde
