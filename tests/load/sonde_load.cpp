// SPDX-License-Identifier: Apache-2.0
//
// sonde-load LOAD [options]: generates one kind of load and prints its own account of it as a line of JSON.
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "tests/load/loads.h"

namespace {

using sonde::load::Options;
using sonde::load::Report;

struct Load {
    std::string_view name;
    Report (*run)(const Options&);
    std::string_view options;  // besides the common ones
    std::string_view what;
};

constexpr std::array<Load, 21> kLoads{{
    {"pipe", sonde::load::run_pipe, "threads pairs", "two tasks (or --pairs P times two) pass a byte to and fro"},
    {"spin", sonde::load::run_spin, "threads", "N threads compute without pause"},
    {"sleep", sonde::load::run_sleep, "usec", "clock_nanosleep of --usec in a loop"},
    {"futex", sonde::load::run_futex, "usec", "two threads hand a turn over, each holds it for --usec"},
    {"recv", sonde::load::run_recv, "usec unix", "recv from a peer that answers after --usec"},
    {"read-pipe", sonde::load::run_read_pipe, "usec", "read from a pipe fed every --usec"},
    {"poll", sonde::load::run_poll, "usec", "epoll_wait on a socket fed every --usec"},
    {"ring", sonde::load::run_ring, "usec", "read through io_uring from a socket fed every --usec"},
    {"mmap-fault", sonde::load::run_mmap_fault, "file size-mb", "major page faults on a mapped --file"},
    {"direct-read", sonde::load::run_direct_read, "file size-mb", "O_DIRECT 4 KiB reads at random offsets"},
    {"direct-write", sonde::load::run_direct_write, "file size-mb overwrite", "O_DIRECT 4 KiB random writes"},
    {"fsync", sonde::load::run_fsync, "file size-mb overwrite", "4 KiB write and fdatasync"},
    {"tcp-rr", sonde::load::run_tcp_rr, "threads ipv6 port size existing-delay",
     "request and response on one loopback connection; --existing-delay MS: connects, prints \"ready\", "
     "waits "
     "for SIGUSR1 or a line on stdin, at most MS"},
    {"tcp-connect", sonde::load::run_tcp_connect, "threads ipv6 port rate accept-delay-us refused",
     "connect, accept, close in a loop, or --rate times per second"},
    {"listen-overflow", sonde::load::run_listen_overflow, "ipv6 port", "--count connects to a full listen queue"},
    {"forks", sonde::load::run_forks, "rate", "--rate children per second that exit at once"},
    {"threads", sonde::load::run_threads, "period-ms", "--count threads that wake every 500 ms"},
    {"procs", sonde::load::run_procs, "period-ms", "--count processes that wake every 100 ms"},
    {"churn", sonde::load::run_churn, "rate exec",
     "--rate children per second with fresh names, some with threads, some exec --exec"},
    {"cgroups", sonde::load::run_cgroups, "rate cgroup outside",
     "makes cgroups below --cgroup, lets a child sleep in each, removes them"},
    {"mixed", sonde::load::run_mixed, "threads pairs usec file size-mb ipv6 port size",
     "pipe, direct-read, tcp-rr and futex together"},
}};

void print_usage()
{
    std::fputs(
        "usage: sonde-load LOAD [options]\n"
        "Generates one kind of load and prints its own account of it as a line of JSON.\n\n"
        "All loads: --cpu A --cpu2 B or --cpus A,B,... (pins the tasks in turn), --seconds S (at most 120),\n"
        "  --count N (operations), --ready (prints the line \"ready\" once it runs), --comm NAME (of its "
        "tasks).\n"
        "SIGTERM and SIGINT end a load with the account so far. Times are in ns of CLOCK_MONOTONIC.\n\n",
        stderr);
    for (const Load& load : kLoads) {
        std::fprintf(stderr, "  %-16.*s%.*s\n", static_cast<int>(load.name.size()), load.name.data(),
                     static_cast<int>(load.what.size()), load.what.data());
        if (!load.options.empty()) {
            std::fprintf(stderr, "%18soptions: %.*s\n", "", static_cast<int>(load.options.size()), load.options.data());
        }
    }
}

}  // namespace

// Asked by AddressSanitizer's leak check, which looks at memory from a process of its own: under this one's name, it
// would be measured together with the load.
extern "C" int __lsan_is_turned_off()
{
    return 1;
}

int main(int argc, char** argv)
{
    const std::string name = argc > 1 ? argv[1] : "";
    if (name.empty() || name == "--help" || name == "-h") {
        print_usage();
        return name.empty() ? 2 : 0;
    }
    const Load* load = std::find_if(kLoads.begin(), kLoads.end(), [&](const Load& each) { return each.name == name; });
    if (load == kLoads.end()) {
        sonde::load::usage_error("there is no load '" + name + "': see sonde-load --help");
    }
    const Options options(std::vector<std::string>(argv + 2, argv + argc), load->options);
    sonde::load::install_stop_signals();
    sonde::load::set_hard_limit(options.seconds(sonde::load::kMaxSeconds));
    sonde::load::check(::prctl(PR_SET_NAME, sonde::load::comm_of(options).c_str()), "prctl(PR_SET_NAME)");
    const Report report = load->run(options);
    std::puts(report.json().c_str());
    return 0;
}
