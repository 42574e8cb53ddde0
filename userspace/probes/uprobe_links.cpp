// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/uprobe_links.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <map>
#include <system_error>
#include <thread>
#include <utility>

namespace sonde {
namespace {

constexpr uint32_t kFlagReturn = 1;  // BPF_F_UPROBE_MULTI_RETURN

// What BPF_LINK_CREATE takes for BPF_TRACE_UPROBE_MULTI (union bpf_attr of Linux 6.6; Debian 12's headers are older).
struct MultiAttributes {
    uint32_t program;
    uint32_t target;
    uint32_t type;
    uint32_t link_flags;
    uint64_t path;
    uint64_t offsets;
    uint64_t semaphores;
    uint64_t cookies;
    uint32_t count;
    uint32_t flags;
    uint32_t pid;
    uint32_t pad;
};
static_assert(sizeof(MultiAttributes) == 64);

struct PlaceArrays {
    std::vector<uint64_t> offsets;
    std::vector<uint64_t> cookies;
    std::vector<uint64_t> semaphores;
};

int create_multi(int program, const char* path, const PlaceArrays& places, pid_t pid, uint32_t flags)
{
    MultiAttributes attributes{};
    attributes.program = static_cast<uint32_t>(program);
    attributes.type = kAttachUprobeMulti;
    attributes.path = reinterpret_cast<uint64_t>(path);
    attributes.offsets = reinterpret_cast<uint64_t>(places.offsets.data());
    attributes.semaphores = reinterpret_cast<uint64_t>(places.semaphores.data());
    attributes.cookies = reinterpret_cast<uint64_t>(places.cookies.data());
    attributes.count = static_cast<uint32_t>(places.offsets.size());
    attributes.flags = flags;
    attributes.pid = static_cast<uint32_t>(pid);
    return static_cast<int>(::syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, sizeof(attributes)));
}

Error at_place(int error, uint64_t offset)
{
    return Error::from_errno(error, "put a uprobe at offset " + std::to_string(offset));
}

}  // namespace

// As libbpf asks: a link on "/", which is no file (EBADF), and then for process -1, which kernels that mean a thread
// do not look at.
Feature try_uprobe_multi()
{
    constexpr bpf_insn kDoNothing[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 0},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
    };
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = static_cast<bpf_attach_type>(kAttachUprobeMulti));
    const UniqueFd program(bpf_prog_load(BPF_PROG_TYPE_KPROBE, "sonde_try", "GPL", kDoNothing, 2, &options));
    if (program.get() < 0) {
        return {false, std::string("load a uprobe_multi program: ") + std::strerror(errno)};
    }
    for (const auto& [pid, want] : {std::pair{0, EBADF}, std::pair{-1, EINVAL}}) {
        const UniqueFd link(create_multi(program.get(), "/", {{0}, {0}, {0}}, pid, 0));
        if (link || errno != want) {
            return {false, pid == 0 ? "no uprobe_multi links" : "uprobe_multi links are for threads"};
        }
    }
    return {true, ""};
}

bool ask_a_filtered_child()
{
    constexpr long kUretprobe =
        335;  // on x86-64; whoever makes it elsewhere than in the kernel's trampoline gets SIGILL
    const pid_t child = ::fork();
    if (child == 0) {
        sock_filter filter[] = {
            {.code = BPF_LD | BPF_W | BPF_ABS, .jt = 0, .jf = 0, .k = offsetof(seccomp_data, nr)},
            {.code = BPF_JMP | BPF_JEQ | BPF_K, .jt = 0, .jf = 1, .k = kUretprobe},
            {.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = SECCOMP_RET_ERRNO | EPERM},
            {.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = SECCOMP_RET_ALLOW},
        };
        const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
        const rlimit none{0, 0};
        ::setrlimit(RLIMIT_CORE, &none);
        ::signal(SIGILL, SIG_DFL);
        ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // its end is no crash to be reported
        const bool ready = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
        ::_exit(ready && ::syscall(kUretprobe) == -1 && errno == EPERM ? 1 : 2);
    }
    int status = 0;
    return child < 0 || ::waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGILL;
}

bool filters_see_return_probes()
{
    static const bool seen = ask_a_filtered_child();
    return seen;
}

Result<UprobeLinks> UprobeLinks::attach(pid_t pid, const std::string& path, const std::vector<UprobePlace>& places,
                                        bool multi)
{
    UprobeLinks links;
    const Status status = multi ? links.attach_together(pid, path, places) : links.attach_each(pid, path, places);
    return status ? Result<UprobeLinks>(std::move(links)) : status.error();
}

void UprobeLinks::close_together(std::vector<UprobeLinks> links)
{
    constexpr size_t kMaxThreads = 64;
    std::vector<UniqueFd> multi;
    std::vector<LinkPtr> single;
    for (UprobeLinks& each : links) {
        std::move(each.multi_.begin(), each.multi_.end(), std::back_inserter(multi));
        std::move(each.single_.begin(), each.single_.end(), std::back_inserter(single));
    }
    const size_t all = multi.size() + single.size();
    const size_t threads = std::min(all, kMaxThreads);
    std::atomic<size_t> next = 0;
    const auto close_some = [&] {
        for (size_t i = next++; i < all; i = next++) {
            if (i < multi.size()) {
                multi[i].reset();
            } else {
                single[i - multi.size()].reset();
            }
        }
    };
    std::vector<std::jthread> others;
    try {
        while (others.size() + 1 < threads) {
            others.emplace_back(close_some);
        }
    } catch (const std::system_error&) {
        // There may be no more: it takes longer.
    }
    close_some();
}

// A link per program, in the order in which the programs come first.
Status UprobeLinks::attach_together(pid_t pid, const std::string& path, const std::vector<UprobePlace>& places)
{
    std::vector<std::pair<bpf_program*, bool>> order;
    std::map<std::pair<bpf_program*, bool>, PlaceArrays> groups;
    for (const UprobePlace& place : places) {
        const std::pair key{place.program, place.at_return};
        if (!groups.contains(key)) {
            order.push_back(key);
        }
        groups[key].offsets.push_back(place.offset);
        groups[key].cookies.push_back(place.cookie);
        groups[key].semaphores.push_back(place.semaphore);
    }
    for (const auto& key : order) {
        const PlaceArrays& group = groups[key];
        UniqueFd link(create_multi(bpf_program__fd(key.first), path.c_str(), group, pid, key.second ? kFlagReturn : 0));
        if (!link) {
            return at_place(errno, group.offsets.front());
        }
        multi_.push_back(std::move(link));
    }
    return ok();
}

Status UprobeLinks::attach_each(pid_t pid, const std::string& path, const std::vector<UprobePlace>& places)
{
    for (const UprobePlace& place : places) {
        bpf_uprobe_opts options{};
        options.sz = sizeof(options);
        options.bpf_cookie = place.cookie;
        options.retprobe = place.at_return;
        options.ref_ctr_offset = place.semaphore;
        LinkPtr link(bpf_program__attach_uprobe_opts(place.program, pid, path.c_str(), place.offset, &options));
        if (!link) {
            return at_place(errno, place.offset);
        }
        single_.push_back(std::move(link));
    }
    return ok();
}

}  // namespace sonde
