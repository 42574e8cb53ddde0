// SPDX-License-Identifier: Apache-2.0
//
// sonde-bench-empty [--probes sched,block,tcp] [--clock] [--stats]: attaches empty programs to the hooks of these
// probes (with --clock: programs that read the clock once), prints "ready", and stays until SIGINT or SIGTERM. With
// --stats it then prints a line of JSON with each program's runs and run time, which the kernel counts while
// kernel.bpf_stats_enabled is 1.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <signal.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "userspace/probes/skeleton_types.h"

#include "empty.skel.h"  // after skeleton_types.h

namespace {

struct EmptyDeleter {
    void operator()(empty_bpf* programs) const { empty_bpf__destroy(programs); }
};
using EmptyPtr = std::unique_ptr<empty_bpf, EmptyDeleter>;

struct Arguments {
    std::string probes = "sched,block,tcp";
    bool clock = false;
    bool stats = false;
};

// The probe whose hook the program is on.
std::string_view probe_of(const bpf_program* program)
{
    const std::string_view section = bpf_program__section_name(program);
    if (section.starts_with("tp_btf/sched_")) {
        return "sched";
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
        } else {
            std::fputs("usage: sonde-bench-empty [--probes sched,block,tcp] [--clock] [--stats]\n", stderr);
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
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, programs->obj)
    {
        bpf_program__set_autoload(program, is_listed(probe_of(program), arguments.probes));
    }
    if (const int error = empty_bpf__load(programs.get()); error != 0) {
        return fail("load the programs", error);
    }
    if (const int error = empty_bpf__attach(programs.get()); error != 0) {
        return fail("attach the programs", error);
    }
    std::puts("ready");
    std::fflush(stdout);
    int signal = 0;
    sigwait(&end_signals, &signal);
    return arguments.stats ? print_stats(*programs) : 0;
}
