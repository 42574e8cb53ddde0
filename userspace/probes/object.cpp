// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/object.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <sstream>

namespace sonde {
namespace {

// libbpf's printing hook has no user pointer, so its last warning is kept per thread.
thread_local std::string last_warning;
bool print_everything = false;

// The verifier's verdict: the line before its statistics ("processed 123 insns ...").
std::string verdict_of(const std::string& log)
{
    std::istringstream lines(log);
    std::string line;
    std::string last;
    while (std::getline(lines, line)) {
        if (line.starts_with("processed ") || line.starts_with("verification time")) {
            break;
        }
        if (!line.empty()) {
            last = line;
        }
    }
    return last;
}

int keep_message(libbpf_print_level level, const char* format, va_list arguments)
{
    if (level == LIBBPF_DEBUG) {
        return 0;
    }
    va_list again;
    va_copy(again, arguments);
    const int length = std::vsnprintf(nullptr, 0, format, again);
    va_end(again);
    std::string text(static_cast<size_t>(std::max(length, 0)), '\0');
    std::vsnprintf(text.data(), text.size() + 1, format, arguments);
    if (print_everything) {
        std::fputs(text.c_str(), stderr);
    }
    if (level == LIBBPF_WARN && text.find("BEGIN PROG LOAD LOG") != std::string::npos) {
        last_warning += ": " + verdict_of(text);
    } else if (level == LIBBPF_WARN && last_warning.empty()) {
        last_warning = text.substr(0, text.find('\n'));
        if (last_warning.starts_with("libbpf: ")) {
            last_warning.erase(0, std::strlen("libbpf: "));
        }
    }
    return length;
}

bpf_program* program_of(bpf_object* object, const std::string& name)
{
    return bpf_object__find_program_by_name(object, name.c_str());
}

}  // namespace

void capture_libbpf_messages(bool verbose)
{
    print_everything = verbose;
    libbpf_set_print(keep_message);
}

void ProgramSet::add(const Choice& choice)
{
    if (choice.row != nullptr) {
        names_.insert(choice.row->programs.begin(), choice.row->programs.end());
    }
}

void ProgramSet::select(bpf_object* object) const
{
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object)
    {
        bpf_program__set_autoload(program, names_.contains(bpf_program__name(program)));
    }
}

Status ProgramSet::attach(bpf_object* object)
{
    for (const std::string& name : names_) {
        LinkPtr link(bpf_program__attach(program_of(object, name)));
        if (!link) {
            const int error = errno;
            links_.clear();
            return Error::from_errno(error, "attach BPF program " + name);
        }
        links_.push_back(std::move(link));
    }
    return ok();
}

void ProgramSet::detach()
{
    links_.clear();
}

ProgramCost ProgramSet::cost(bpf_object* object, const std::vector<std::string_view>& names) const
{
    ProgramCost total;
    for (const std::string_view name : names) {
        if (!names_.contains(std::string(name))) {
            continue;
        }
        bpf_prog_info info{};
        __u32 size = sizeof(info);
        const int fd = bpf_program__fd(program_of(object, std::string(name)));
        if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0) {
            total.runs += info.run_cnt;
            total.time_ns += info.run_time_ns;
            total.missed += info.recursion_misses;
        }
    }
    return total;
}

Status load_object(bpf_object_skeleton* skeleton, std::string_view name)
{
    last_warning.clear();
    const int error = bpf_object__load_skeleton(skeleton);
    if (error == -EMFILE) {
        return Error{EMFILE, "load BPF object " + std::string(name) + ": too many open files: raise ulimit -n (64 do)"};
    }
    if (error != 0) {
        const std::string reason = last_warning.empty() ? std::strerror(-error) : last_warning;
        return Error{-error, "load BPF object " + std::string(name) + ": " + reason};
    }
    return ok();
}

Result<TypeNames> core_type_names()
{
    TypeNames names;
    for (const std::span<const char> object :
         {sched_object(), block_object(), tcp_object(), follow_object(), client_object(), starts_object()}) {
        if (Status added = add_type_names(object, names); !added) {
            return added.error();
        }
    }
    return names;
}

bpf_object_open_opts open_options(const KernelFeatures& features)
{
    bpf_object_open_opts open{};
    open.sz = sizeof(open);
    if (!features.btf_file.empty()) {
        open.btf_custom_path = features.btf_file.c_str();
    }
    return open;
}

void use_follow_targets(bpf_map* map, const ProbeOptions& options)
{
    if (options.follow_targets_fd >= 0) {
        bpf_map__reuse_fd(map, options.follow_targets_fd);
    } else {
        bpf_map__set_max_entries(map, 1);
    }
}

Result<UniqueFd> keep_statistics()
{
    UniqueFd fd(bpf_enable_stats(BPF_STATS_RUN_TIME));
    if (!fd) {
        return Error::from_errno(errno, "have the kernel time BPF programs (needs CAP_SYS_ADMIN)");
    }
    return fd;
}

uint64_t maps_bytes(bpf_object* object)
{
    uint64_t total = 0;
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object)
    {
        const int fd = bpf_map__fd(map);
        const Result<std::string> info = RootedFs().read("/proc/self/fdinfo/" + std::to_string(fd));
        if (fd < 0 || !info) {
            continue;
        }
        const size_t at = info->find("memlock:");
        if (at != std::string::npos) {
            total += std::strtoull(info->c_str() + at + std::strlen("memlock:"), nullptr, 10);
        }
    }
    return total;
}

ProbeStatus status_of(const Choice& choice, bpf_object* object, const ProgramSet& programs)
{
    ProbeStatus status;
    status.measurement = choice.measurement;
    if (choice.row == nullptr) {
        status.state = ProbeState::kOff;
        status.reason = choice.rejected.empty() ? "no hook" : choice.rejected.back();
        return status;
    }
    status.hook = choice.row->hook;
    status.state = choice.row->lost.empty() ? ProbeState::kOk : ProbeState::kDegraded;
    if (status.state == ProbeState::kDegraded) {
        status.reason = std::string(choice.row->lost) + " (" + choice.rejected.front() + ")";
    }
    const ProgramCost cost = programs.cost(object, choice.row->programs);
    status.run_count = cost.runs;
    status.run_time_ns = cost.time_ns;
    if (cost.missed != 0) {
        status.discarded["interrupted program"] = cost.missed;
    }
    return status;
}

}  // namespace sonde
