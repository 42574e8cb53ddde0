// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/binary.h"

#include "userspace/base/parse.h"
#include "userspace/symbols/symbol_child.h"

namespace sonde {
namespace {

constexpr size_t kBuildIdFolder = 2;  // characters of a build-id that name a folder, the rest a file in it

// Where distributions and debuginfod put the symbols that they took out of a program; empty if there are none.
std::string debug_file(const std::string& build_id, const RootedFs& fs)
{
    if (build_id.size() <= kBuildIdFolder) {
        return "";
    }
    const std::string path = "/usr/lib/debug/.build-id/" + build_id.substr(0, kBuildIdFolder) + "/" +
                             build_id.substr(kBuildIdFolder) + ".debug";
    return fs.exists(path) ? fs.resolve(path) : "";
}

}  // namespace

Result<SymbolReport> examine_binary(const BinaryQuestion& question, const RootedFs& fs)
{
    SymbolRequest request;
    const Result<pid_t> pid = parse_pid(question.target);
    request.path = pid ? fs.resolve("/proc/" + question.target + "/exe") : question.target;
    request.patterns = question.patterns;
    request.with_sites = question.with_sites;
    request.version_mark = question.version_mark;
    if (pid && !fs.exists("/proc/" + question.target)) {
        return Error{ESRCH, "there is no process " + question.target};
    }
    Result<SymbolReport> report = read_symbols_in_child(request);
    if (!report || report->facts.has_symtab) {
        return report;
    }
    request.debug_path = debug_file(report->facts.build_id, fs);
    if (!request.debug_path.empty()) {
        Result<SymbolReport> with_debug_file = read_symbols_in_child(request);
        if (with_debug_file) {
            return with_debug_file;
        }
        report->problems.push_back(with_debug_file.error().what);
    }
    return report;
}

}  // namespace sonde
