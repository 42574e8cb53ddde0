// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/client_finder.h"

#include <unistd.h>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "userspace/app/binary.h"
#include "userspace/app/call_targets.h"
#include "userspace/base/glob.h"
#include "userspace/export/utf8.h"

namespace sonde {
namespace {

constexpr size_t kMostKept = 256;                // files
constexpr std::string_view kWrapped("-binary");  // of wrappers that some packages put around a program

std::string file_name(std::string_view path)
{
    return std::string(path.substr(path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1));
}

bool names_executable(const std::string& pattern, const ProcessInfo& process)
{
    std::string name = file_name(process.executable);
    if (name.ends_with(kWrapped)) {
        name.resize(name.size() - kWrapped.size());
    }
    return glob_matches(pattern, name);
}

bool names_command(const std::string& pattern, const ProcessInfo& process)
{
    return std::any_of(process.command.begin(), process.command.end(), [&pattern](const std::string& word) {
        return glob_matches(pattern, word) || glob_matches(pattern, file_name(word));
    });
}

// Patterns of all rules that ask for a function, each once.
std::vector<std::string> function_rules(const Catalog& catalog)
{
    std::set<std::string> patterns;
    for (const CatalogClient& client : catalog.clients()) {
        for (const CatalogRule& rule : client.detect) {
            if (!rule.function.empty()) {
                patterns.insert(rule.function);
            }
        }
    }
    return {patterns.begin(), patterns.end()};
}

// Files that the process has mapped and whose name fits; paths by which the kernel opens what is mapped, even where it
// has been deleted since, as Java does with the libraries that it unpacks.
std::vector<std::string> mapped_objects(const RootedFs& fs, pid_t pid, const std::string& pattern)
{
    std::vector<std::string> paths;
    const std::string folder = "/proc/" + std::to_string(pid);
    const Result<std::string> maps = fs.read(folder + "/maps");
    std::set<std::string> seen;
    std::istringstream lines(maps ? *maps : "");
    for (std::string line; std::getline(lines, line);) {
        const size_t path = line.find('/');
        if (path == std::string::npos) {
            continue;
        }
        std::string name = file_name(line.substr(path));
        name = name.substr(0, name.find(" (deleted)"));
        if (glob_matches(pattern, name) && seen.insert(line.substr(path)).second) {
            paths.push_back(fs.resolve(folder + "/map_files/" + line.substr(0, line.find(' '))));
        }
    }
    return paths;
}

ClientCall named_call(const CatalogCall& call)
{
    ClientCall named;
    named.name = call.call;
    named.question = call.question;
    named.within = call.within;
    named.counts = call.counts;
    if (call.method) {
        named.texts = {call.method->argument, call.method->text_at, call.method->known};
    }
    return named;
}

// A pair of static tracepoints; each may stand at several places.
void add_usdt(const SymbolReport& report, ProgramCall& into)
{
    const CatalogCall& call = *into.call;
    std::vector<const UsdtProbe*> begins;
    CallSites sites;
    sites.by_thread = true;
    for (const UsdtProbe& probe : report.usdt) {
        const std::string name = probe.provider + ":" + probe.name;
        if (name == call.usdt_begin) {
            begins.push_back(&probe);
        } else if (std::find(call.usdt_ends.begin(), call.usdt_ends.end(), name) != call.usdt_ends.end()) {
            sites.ends.push_back(probe.offset);
            sites.end_semaphores.push_back(probe.semaphore_offset);
            sites.begin_is_nop5 |= probe.nop5;
        }
    }
    if (begins.empty() || sites.ends.empty()) {
        return;
    }
    for (const UsdtProbe* begin : begins) {
        CallSites copy = sites;
        copy.begin = begin->offset;
        copy.begin_semaphore = begin->semaphore_offset;
        copy.begin_is_nop5 |= begin->nop5;
        into.sites.copies.push_back(std::move(copy));
        sites.ends.clear();  // once is enough
        sites.end_semaphores.clear();
    }
}

}  // namespace

Catalog load_catalog()
{
    std::vector<std::string> problems;
    Catalog catalog = Catalog::load("/etc/sonde/clients.d", problems);
    for (const std::string& problem : problems) {
        spdlog::warn("continuing without {}", printable(problem));
    }
    return catalog;
}

bool ClientSelection::wants(const ProcessInfo& process) const
{
    return (pid == 0 || pid == process.pid) && (comm.empty() || comm == process.comm);
}

bool ClientSelection::wants(const CatalogClient& client) const
{
    return clients.empty() || clients.contains(client.client);
}

bool ClientSelection::wants(const CatalogCall& call) const
{
    if (calls.empty()) {
        return call.rate != CallRate::kHot;
    }
    return std::any_of(calls.begin(), calls.end(),
                       [&call](const std::string& pattern) { return glob_matches(pattern, call.call); });
}

// What its file says of a program; null where that cannot be read.
const ClientFinder::Facts* ClientFinder::facts_of(pid_t pid)
{
    const std::string target = std::to_string(pid);
    const std::string path = fs_->resolve("/proc/" + target + "/exe");
    const Result<FileIdentity> file = TargetFile::identity_of(path);
    if (!file) {
        return nullptr;
    }
    const FileState state{*file, TargetFile::changed_ns(path)};
    if (const auto known = facts_.find(state); known != facts_.end()) {
        return &known->second;
    }
    std::vector<std::string> patterns = function_rules(*catalog_);
    if (patterns.empty()) {
        patterns.emplace_back("-");  // fits nothing
    }
    const Result<SymbolReport> report = examine_binary({.target = target, .patterns = patterns}, *fs_);
    if (report && report->facts.file != *file) {
        return nullptr;  // it runs another one by now: that comes as news of its own
    }
    Facts facts;
    if (report) {
        facts.go = report->facts.go;
        for (const FunctionSymbol& function : report->functions) {
            facts.functions.insert(function.matched.begin(), function.matched.end());
        }
    }
    if (facts_.size() >= kMostKept) {
        facts_.clear();
    }
    return &facts_.emplace(state, std::move(facts)).first->second;
}

bool ClientFinder::fits(const CatalogRule& rule, const ProcessInfo& process)
{
    // The cheap ones first.
    if ((!rule.executable.empty() && !names_executable(rule.executable, process)) ||
        (!rule.command.empty() && !names_command(rule.command, process))) {
        return false;
    }
    if (!rule.thread.empty()) {
        const std::vector<std::string> names = thread_names(*fs_, process.pid);
        if (std::none_of(names.begin(), names.end(),
                         [&rule](const std::string& name) { return glob_matches(rule.thread, name); })) {
            return false;
        }
    }
    if (rule.go_main.empty() && rule.go_package.empty() && rule.go_dependency.empty() && rule.function.empty()) {
        return true;
    }
    const Facts* facts = facts_of(process.pid);
    if (facts == nullptr) {
        return false;
    }
    if (!rule.function.empty()) {
        const std::vector<std::string> patterns = function_rules(*catalog_);
        const auto at = std::find(patterns.begin(), patterns.end(), rule.function);
        if (!facts->functions.contains(static_cast<uint32_t>(at - patterns.begin()))) {
            return false;
        }
    }
    const std::optional<GoBuildInfo>& go = facts->go;
    if (!go) {
        return rule.go_main.empty() && rule.go_package.empty() && rule.go_dependency.empty();
    }
    const auto fits_dependency = [&rule](const GoModule& module) {
        return glob_matches(rule.go_dependency, module.path);
    };
    return (rule.go_main.empty() || glob_matches(rule.go_main, go->main.path)) &&
           (rule.go_package.empty() || glob_matches(rule.go_package, go->path)) &&
           (rule.go_dependency.empty() ||
            std::any_of(go->dependencies.begin(), go->dependencies.end(), fits_dependency));
}

const CatalogClient* ClientFinder::identify(const ProcessInfo& process)
{
    const CatalogClient* best = nullptr;
    unsigned most = 0;
    if (process.executable.empty()) {
        return nullptr;
    }
    for (const CatalogClient& client : catalog_->clients()) {
        for (const CatalogRule& rule : client.detect) {
            if (rule.weight() > most && fits(rule, process)) {
                most = rule.weight();
                best = &client;
            }
        }
    }
    return best;
}

void ClientFinder::add_program(const ProcessInfo& process, const std::string& path,
                               const std::vector<const CatalogCall*>& calls, const CatalogClient& client,
                               FoundClient& into)
{
    const Result<FileIdentity> file = TargetFile::identity_of(path);
    if (!file) {
        into.problems.push_back(file.error().with("process " + std::to_string(process.pid)).what);
        return;
    }
    const ProgramKey key{{*file, TargetFile::changed_ns(path)}, client.client};
    if (const auto known = programs_.find(key); known != programs_.end()) {
        if (known->second) {
            into.programs.push_back(*known->second);
            into.programs.back().path = path;
        } else {
            into.problems.push_back(known->second.error().what);
        }
        return;
    }
    if (programs_.size() >= kMostKept) {
        programs_.clear();
    }
    BinaryQuestion question{.target = path, .patterns = {}, .with_sites = true, .version_mark = client.version_mark};
    std::vector<size_t> call_of;  // which call a pattern is of
    for (size_t i = 0; i < calls.size(); ++i) {
        for (const std::string& pattern : calls[i]->functions) {
            question.patterns.push_back(pattern);
            call_of.push_back(i);
        }
        const std::vector<std::string>& ends = calls[i]->usdt_ends;
        question.patterns.insert(question.patterns.end(), ends.begin(), ends.end());
        question.patterns.push_back(calls[i]->usdt_begin.empty() ? "-" : calls[i]->usdt_begin);
        call_of.resize(question.patterns.size(), calls.size());
    }
    const Result<SymbolReport> report = examine_binary(question, *fs_);
    if (!report) {
        into.problems.push_back(report.error().what);
        programs_.emplace(key, report.error());  // nothing is read again for each of its processes
        return;
    }
    // Nothing of another file is kept under the name of this one.
    if (report->facts.file != *file) {
        into.problems.push_back("process " + std::to_string(process.pid) + ": its program changed meanwhile");
        return;
    }
    ClientProgram program{path, *file, report->facts, {}};
    for (const CatalogCall* call : calls) {
        program.calls.push_back({call, named_call(*call), {}});
        add_usdt(*report, program.calls.back());
    }
    std::optional<uint64_t> previous;
    for (const FunctionSymbol& function : report->functions) {
        if (previous == function.offset) {
            continue;  // another name of the same code
        }
        previous = function.offset;
        Result<CallSites> sites = choose_sites(function, report->facts);
        for (const uint32_t pattern : function.matched) {
            const size_t call = pattern < call_of.size() ? call_of[pattern] : calls.size();
            if (call == calls.size()) {
                continue;
            }
            if (sites) {
                program.calls[call].sites.copies.push_back(*sites);
                // Clients written in C are known to have one stack per thread.
                program.calls[call].sites.copies.back().prefers_return_probe = client.runtime == "c";
            } else {
                program.calls[call].refusals.push_back(function.display + ": " + sites.error().what);
            }
            break;
        }
    }
    into.programs.push_back(program);
    programs_.emplace(key, std::move(program));
}

FoundClient ClientFinder::examine(const ProcessInfo& process, const CatalogClient& client)
{
    FoundClient found{process, &client, process.comm, {}, {}};
    std::vector<const CatalogCall*> own;
    for (const CatalogCall& call : client.calls) {
        own.push_back(&call);
    }
    for (const std::string& name : client.uses) {
        const CatalogClient* library = catalog_->find(name);
        if (library != nullptr && library->object.empty()) {
            for (const CatalogCall& call : library->calls) {
                own.push_back(&call);
            }
        }
    }
    add_program(process, fs_->resolve("/proc/" + std::to_string(process.pid) + "/exe"), own, client, found);
    for (const std::string& name : client.uses) {
        const CatalogClient* library = catalog_->find(name);
        if (library == nullptr || library->object.empty()) {
            continue;
        }
        std::vector<const CatalogCall*> calls;
        for (const CatalogCall& call : library->calls) {
            calls.push_back(&call);
        }
        for (const std::string& path : mapped_objects(*fs_, process.pid, library->object)) {
            add_program(process, path, calls, *library, found);
        }
    }
    return found;
}

std::vector<FoundClient> ClientFinder::find_all()
{
    std::vector<FoundClient> found;
    const Result<std::vector<pid_t>> pids = process_ids(*fs_);
    for (const pid_t pid : pids ? *pids : std::vector<pid_t>()) {
        const Result<ProcessInfo> process = read_process(*fs_, pid);
        const CatalogClient* client = process && pid != ::getpid() ? identify(*process) : nullptr;
        if (client != nullptr) {
            found.push_back(examine(*process, *client));
        }
    }
    return found;
}

std::vector<ClientTarget> targets_of(const FoundClient& found, const ClientSelection& selection, const RootedFs& fs)
{
    std::vector<ClientTarget> targets;
    for (const ClientProgram& program : found.programs) {
        ClientTarget target{found.process.pid,
                            found.client->client,
                            found.name,
                            program.path,
                            program.file,
                            has_seccomp_filter(fs, found.process.pid),
                            {}};
        for (const ProgramCall& call : program.calls) {
            if (!call.sites.copies.empty() && selection.wants(*call.call)) {
                target.calls.push_back(call.sites);
            }
        }
        if (!target.calls.empty()) {
            targets.push_back(std::move(target));
        }
    }
    return targets;
}

}  // namespace sonde
