// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/call_targets.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "userspace/app/binary.h"
#include "userspace/base/parse.h"

namespace sonde {
namespace {

constexpr size_t kMaxCalls = 256;  // per process: a pattern that fits more is a mistake
constexpr size_t kMaxProbedReturns = 256;

// "go1.21.3" -> 21; 0 where it is not of this form.
int go_minor(const std::string& version)
{
    int minor = 0;
    constexpr std::string_view kPrefix("go1.");
    const size_t at = version.find(kPrefix);
    if (at != std::string::npos) {
        const char* begin = version.data() + at + kPrefix.size();
        std::from_chars(begin, version.data() + version.size(), minor);
    }
    return minor;
}

bool is_mangled(const FunctionSymbol& function)
{
    return function.name.starts_with("_Z") || function.name.starts_with("_R");
}

std::string process_name(const RootedFs& fs, pid_t pid)
{
    const Result<std::string> name = fs.read_line("/proc/" + std::to_string(pid) + "/comm");
    return name ? *name : std::to_string(pid);
}

std::string exe_of(pid_t pid)
{
    return "/proc/" + std::to_string(pid) + "/exe";
}

// All processes but this one that run the file at `path`, or the one whose number it is.
Result<std::vector<pid_t>> processes_of(const std::string& target, const RootedFs& fs)
{
    if (const Result<pid_t> pid = parse_pid(target)) {
        if (!fs.exists("/proc/" + target)) {
            return Error{ESRCH, "there is no process " + target};
        }
        return std::vector<pid_t>{*pid};
    }
    const Result<FileIdentity> file = TargetFile::identity_of(target);
    if (!file) {
        return file.error();
    }
    const Result<std::vector<std::string>> names = fs.list("/proc");
    if (!names) {
        return names.error();
    }
    std::vector<pid_t> pids;
    for (const std::string& name : *names) {
        const Result<pid_t> pid = parse_pid(name);
        const Result<FileIdentity> exe =
            pid ? TargetFile::identity_of(fs.resolve(exe_of(*pid))) : Result<FileIdentity>(pid.error());
        if (exe && exe->device == file->device && exe->inode == file->inode && *pid != ::getpid()) {
            pids.push_back(*pid);
        }
    }
    if (pids.empty()) {
        return Error{ESRCH, "no process runs " + target};
    }
    return pids;
}

// Copies of one function are one call.
Result<std::vector<ClientCall>> calls_of(const SymbolReport& report, const CallSpec& spec,
                                         std::vector<std::string>& refusals)
{
    std::map<std::string, ClientCall> calls;
    std::optional<uint64_t> previous;
    for (const FunctionSymbol& function : report.functions) {
        if (previous == function.offset) {
            continue;  // another name of the same code
        }
        previous = function.offset;
        Result<CallSites> sites = choose_sites(function, report.facts);
        if (!sites) {
            refusals.push_back(function.display + ": " + sites.error().what);
            continue;
        }
        ClientCall& call = calls[function.display];
        call.name = function.display;
        call.copies.push_back(std::move(*sites));
    }
    if (calls.size() > kMaxCalls) {
        return Error{E2BIG, "the pattern " + spec.pattern + " fits " + std::to_string(calls.size()) + " functions of " +
                                spec.target + ": " + std::to_string(kMaxCalls) + " at most"};
    }
    std::vector<ClientCall> all;
    for (auto& [name, call] : calls) {
        all.push_back(std::move(call));
    }
    return all;
}

// Those that are not there yet: patterns may fit the same function.
void add_new(const std::vector<ClientCall>& calls, std::vector<ClientCall>& into)
{
    for (const ClientCall& call : calls) {
        if (std::none_of(into.begin(), into.end(),
                         [&call](const ClientCall& have) { return have.name == call.name; })) {
            into.push_back(call);
        }
    }
}

}  // namespace

bool has_seccomp_filter(const RootedFs& fs, pid_t pid)
{
    const Result<std::string> status = fs.read("/proc/" + std::to_string(pid) + "/status");
    return !status || status->find("\nSeccomp:\t0\n") == std::string::npos;
}

Result<CallSpec> parse_call_spec(const std::string& text)
{
    const size_t colon = text.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) {
        return Error{EINVAL, "'" + text + "': give PATH_OR_PID:PATTERN, as 1234:'core.(*BlockChain).insertChain'"};
    }
    return CallSpec{text.substr(0, colon), text.substr(colon + 1)};
}

Result<CallSites> choose_sites(const FunctionSymbol& function, const BinaryFacts& facts)
{
    if (!function.sites) {
        return Error{ENOTSUP, function.no_sites};
    }
    const FunctionSites& found = *function.sites;
    if (found.begins_again != 0) {
        return Error{ENOTSUP, "it jumps to its beginning, so that one call cannot be told from several"};
    }
    CallSites sites;
    sites.go = function.go;
    sites.begin = function.offset + found.entry.offset;
    sites.begin_is_nop5 = found.entry.nop5;
    sites.stepped = !found.entry.emulated;
    for (const ProbeSite& end : found.returns) {
        sites.ends.push_back(function.offset + end.offset);
    }
    if (sites.ends.size() > kMaxProbedReturns) {
        return Error{ENOTSUP, "it returns at " + std::to_string(sites.ends.size()) + " places"};
    }
    if (function.go) {
        constexpr int kRegisterAbi = 17;
        const int minor = facts.go ? go_minor(facts.go->go_version) : 0;
        if (facts.go_table == "1.16" && minor < kRegisterAbi) {
            return Error{ENOTSUP, "compiled by Go 1.16 or older, which does not say in a register whose call it is"};
        }
        // Computed jumps of Go code are tables of cases.
        if (sites.ends.empty() || found.tail_jumps != 0) {
            return Error{ENOTSUP, sites.ends.empty() ? "it never returns" : "it may end in another function"};
        }
        return sites;
    }
    sites.return_probe = !facts.may_unwind && !facts.go && facts.go_table.empty() && !is_mangled(function);
    if (sites.ends.empty() || found.tail_jumps != 0 || found.indirect_jumps != 0) {
        if (!sites.return_probe) {
            return Error{ENOTSUP,
                         "it may end without a return of its own, and in a program with exceptions, panics or several "
                         "stacks per thread a return probe could end the process"};
        }
        sites.ends.clear();
    }
    return sites;
}

Result<CallTargets> find_call_targets(const std::vector<CallSpec>& specs, const RootedFs& fs)
{
    CallTargets found;
    for (const CallSpec& spec : specs) {
        const Result<std::vector<pid_t>> pids = processes_of(spec.target, fs);
        if (!pids) {
            return pids.error();
        }
        std::optional<Error> no_process;
        bool any = false;
        // Processes of one program share what is read of it.
        std::map<FileIdentity, std::pair<SymbolReport, std::vector<ClientCall>>> programs;
        for (const pid_t pid : *pids) {
            const std::string path = fs.resolve(exe_of(pid));
            const Result<FileIdentity> file = TargetFile::identity_of(path);
            if (!file) {
                no_process = file.error();  // it has ended, is the kernel's, or somebody else's
                continue;
            }
            any = true;
            auto known = programs.find(*file);
            if (known == programs.end()) {
                Result<SymbolReport> report =
                    examine_binary({.target = std::to_string(pid), .patterns = {spec.pattern}, .with_sites = true}, fs);
                if (!report) {
                    return report.error();
                }
                Result<std::vector<ClientCall>> calls = calls_of(*report, spec, found.refusals);
                if (!calls) {
                    return calls.error();
                }
                known = programs.emplace(*file, std::pair{std::move(*report), std::move(*calls)}).first;
            }
            const auto& [report, calls] = known->second;
            if (report.functions.empty()) {
                return Error{ENOENT, "no function of " + spec.target + " fits " + spec.pattern +
                                         " (see sonde symbols " + spec.target + ")"};
            }
            if (calls.empty()) {
                return Error{ENOTSUP, found.refusals.empty() ? spec.pattern : found.refusals.back()};
            }
            const auto same = std::find_if(found.targets.begin(), found.targets.end(),
                                           [pid = pid](const ClientTarget& target) { return target.pid == pid; });
            if (same != found.targets.end()) {
                add_new(calls, same->calls);
                continue;
            }
            const std::string name = process_name(fs, pid);
            found.targets.push_back({pid, name, name, path, report.facts.file, has_seccomp_filter(fs, pid), calls});
        }
        if (!any) {
            const bool privileges = no_process && no_process->code == EACCES;
            return privileges ? no_process->with("needs CAP_SYS_PTRACE")
                              : Error{ESRCH, "process " + spec.target + " has no program that can be read"};
        }
    }
    return found;
}

}  // namespace sonde
