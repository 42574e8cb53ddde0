// SPDX-License-Identifier: Apache-2.0
//
// sonde-bench-empty [--probes sched,block,tcp] [--clock] [--stats]: attaches empty programs to the hooks of these
// probes (with --clock: programs that read the clock once), prints "ready", and stays until SIGINT or SIGTERM. With
// --stats it then prints a line of JSON with each program's runs and run time, which the kernel counts while
// kernel.bpf_stats_enabled is 1.
// sonde-bench-empty --pid PID --begin OFFSET --ends OFFSET[,OFFSET] | --return-of OFFSET: as above, on these places of
// the program of that process, offsets in its file; --return-of: a return probe on the function that begins there. It
// is attached as sonde does it.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/probes/skeleton_types.h"
#include "userspace/probes/uprobe_links.h"

#include "empty.skel.h"  // after skeleton_types.h

namespace {

struct EmptyDeleter {
    void operator()(empty_bpf* programs) const { empty_bpf__destroy(programs); }
};
using EmptyPtr = std::unique_ptr<empty_bpf, EmptyDeleter>;

constexpr const char* kCalls = "calls";

struct Arguments {
    std::string probes = "sched,block,tcp";
    bool clock = false;
    bool stats = false;
    pid_t pid = 0;  // 0: no functions of a process
    std::string begin, ends, return_of;
};

// The probe whose hook the program is on.
std::string_view probe_of(const bpf_program* program)
{
    const std::string_view section = bpf_program__section_name(program);
    if (section.starts_with("tp_btf/sched_")) {
        return "sched";
    }
    if (section.starts_with("u")) {  // uprobe, uretprobe
        return kCalls;
    }
    return section.starts_with("tp_btf/block_") ? "block" : "tcp";
}

bool is_listed(std::string_view name, const std::string& list)
{
    return ("," + list + ",").find("," + std::string(name) + ",") != std::string::npos;
}

int fail(const char* what, int error)
{
    std::fprintf(stderr, "sonde-bench-empty: %s: %s\n", what, std::strerror(error < 0 ? -error : error));
    return 1;
}

// In the order in which sonde does it.
std::vector<sonde::UprobePlace> places_of(const Arguments& arguments, const empty_bpf& programs)
{
    const auto offset = [](const std::string& text) { return std::strtoull(text.c_str(), nullptr, 0); };
    std::vector<sonde::UprobePlace> places;
    std::istringstream ends(arguments.ends);
    for (std::string end; std::getline(ends, end, ',');) {
        places.push_back({programs.progs.empty_call_end, offset(end), 0, false});
    }
    if (!arguments.return_of.empty()) {
        places.push_back({programs.progs.empty_call_returned, offset(arguments.return_of), 0, true});
    }
    places.push_back({programs.progs.empty_call_begin, offset(arguments.begin), 0, false});
    return places;
}

int print_stats(const empty_bpf& programs)
{
    std::string json;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, programs.obj)
    {
        if (!bpf_program__autoload(program)) {
            continue;
        }
        bpf_prog_info info{};
        __u32 size = sizeof(info);
        const int error = bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size);
        if (error != 0) {
            return fail("read program statistics", error);
        }
        json += (json.empty() ? "" : ",") + ("\"" + std::string(bpf_program__name(program)) + "\":{\"run_cnt\":") +
                std::to_string(info.run_cnt) + ",\"run_time_ns\":" + std::to_string(info.run_time_ns) + "}";
    }
    std::printf("{%s}\n", json.c_str());
    return 0;
}

}  // namespace

int main(int argc, char** argv)
{
    Arguments arguments;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (argument == "--stats") {
            arguments.stats = true;
        } else if (argument == "--clock") {
            arguments.clock = true;
        } else if (argument == "--probes" && i + 1 < argc) {
            arguments.probes = argv[++i];
        } else if (argument == "--pid" && i + 1 < argc) {
            arguments.pid = std::atoi(argv[++i]);
            arguments.probes = kCalls;
        } else if (argument == "--begin" && i + 1 < argc) {
            arguments.begin = argv[++i];
        } else if (argument == "--ends" && i + 1 < argc) {
            arguments.ends = argv[++i];
        } else if (argument == "--return-of" && i + 1 < argc) {
            arguments.return_of = argv[++i];
        } else {
            std::fputs(
                "usage: sonde-bench-empty [--probes sched,block,tcp] [--clock] [--stats]\n"
                "       sonde-bench-empty --pid PID --begin OFFSET --ends OFFSETS | --return-of OFFSET ...\n",
                stderr);
            return 2;
        }
    }
    // Blocked from the start, so that a signal that comes early is not lost.
    sigset_t end_signals;
    sigemptyset(&end_signals);
    sigaddset(&end_signals, SIGINT);
    sigaddset(&end_signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &end_signals, nullptr);

    const EmptyPtr programs(empty_bpf__open());
    if (!programs) {
        return fail("open the programs", errno);
    }
    programs->rodata->read_clock = arguments.clock;
    const bool multi = arguments.pid != 0 && sonde::try_uprobe_multi().works;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, programs->obj)
    {
        bpf_program__set_autoload(program, is_listed(probe_of(program), arguments.probes));
        if (multi && probe_of(program) == kCalls) {
            bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(sonde::kAttachUprobeMulti));
        }
    }
    if (const int error = empty_bpf__load(programs.get()); error != 0) {
        return fail("load the programs", error);
    }
    sonde::UprobeLinks links;
    if (arguments.pid != 0) {
        const std::string path = "/proc/" + std::to_string(arguments.pid) + "/exe";
        auto attached = sonde::UprobeLinks::attach(arguments.pid, path, places_of(arguments, *programs), multi);
        if (!attached) {
            std::fprintf(stderr, "sonde-bench-empty: %s\n", attached.error().what.c_str());
            return 1;
        }
        links = std::move(*attached);
    } else if (const int error = empty_bpf__attach(programs.get()); error != 0) {
        return fail("attach the programs", error);
    }
    std::puts("ready");
    std::fflush(stdout);
    int signal = 0;
    sigwait(&end_signals, &signal);
    return arguments.stats ? print_stats(*programs) : 0;
}
