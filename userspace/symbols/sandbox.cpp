// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/sandbox.h"

#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <memory>

namespace sonde {
namespace {

constexpr uid_t kNobody = 65534;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

constexpr std::array kAllowed{
    SCMP_SYS(read),         SCMP_SYS(pread64),      SCMP_SYS(write),       SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),   SCMP_SYS(lseek),        SCMP_SYS(close),       SCMP_SYS(brk),
    SCMP_SYS(munmap),       SCMP_SYS(mremap),       SCMP_SYS(madvise),     SCMP_SYS(futex),
    SCMP_SYS(getpid),       SCMP_SYS(gettid),       SCMP_SYS(writev),      SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(exit),
    SCMP_SYS(exit_group),   SCMP_SYS(getrandom),    SCMP_SYS(sched_yield), SCMP_SYS(clock_gettime)};

Status limit(__rlimit_resource_t what, uint64_t value)
{
    rlimit now{};
    if (::getrlimit(what, &now) != 0) {
        return Error::from_errno(errno, "getrlimit");
    }
    const rlimit both{std::min<uint64_t>(value, now.rlim_max), std::min<uint64_t>(value, now.rlim_max)};
    return ::setrlimit(what, &both) == 0 ? ok() : Error::from_errno(errno, "setrlimit");
}

Status close_others(std::vector<int> keep)
{
    if (kSanitized) {
        keep.push_back(STDERR_FILENO);
    }
    keep.push_back(-1);
    std::sort(keep.begin(), keep.end());
    for (size_t i = 0; i < keep.size(); ++i) {
        const auto first = static_cast<unsigned>(keep[i] + 1);
        const unsigned last = i + 1 < keep.size() ? static_cast<unsigned>(keep[i + 1]) - 1 : ~0U;
        const bool none = i + 1 < keep.size() && keep[i + 1] <= keep[i] + 1;
        if (!none && ::close_range(first, last, 0) != 0) {
            return Error::from_errno(errno, "close_range");
        }
    }
    return ok();
}

// Root without CAP_SETUID, as in some containers, stays root; the filter then holds it alone.
Status become_nobody()
{
    if (::geteuid() == 0 && ::setgroups(0, nullptr) == 0 &&
        (::setresgid(kNobody, kNobody, kNobody) != 0 || ::setresuid(kNobody, kNobody, kNobody) != 0) &&
        errno != EPERM) {
        return Error::from_errno(errno, "become nobody");
    }
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
    if (::syscall(SYS_capset, &header, none.data()) != 0) {
        return Error::from_errno(errno, "capset");
    }
    // A change of user forgets this, so it comes behind it.
    return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? ok() : Status(Error::from_errno(errno, "PR_SET_PDEATHSIG"));
}

Status filter_system_calls()
{
    const std::unique_ptr<void, void (*)(void*)> filter(::seccomp_init(SCMP_ACT_KILL_PROCESS), ::seccomp_release);
    if (!filter) {
        return Error{ENOMEM, "seccomp"};
    }
    int failed = 0;
    for (const int call : kAllowed) {
        failed = failed != 0 ? failed : ::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
    }
    // To abort: itself only.
    const scmp_arg_cmp self{0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid()), 0};
    failed = failed != 0 ? failed : ::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, self);
    // Memory, but no files, and nothing that could be run.
    const scmp_arg_cmp anonymous = SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS);
    const scmp_arg_cmp data = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    failed =
        failed != 0 ? failed : ::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, data, anonymous);
    failed = failed != 0 ? failed : ::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, data);
    failed = failed != 0 ? failed : ::seccomp_load(filter.get());
    return failed == 0 ? ok() : Error::from_errno(-failed, "seccomp");
}

}  // namespace

Status shut_in(const SandboxLimits& limits, std::vector<int> keep)
{
    if (Status status = close_others(std::move(keep)); !status) {
        return status;
    }
    for (const auto& [what, value] : {std::pair{RLIMIT_CORE, uint64_t{0}}, std::pair{RLIMIT_FSIZE, uint64_t{0}},
                                      std::pair{RLIMIT_CPU, limits.cpu_seconds},
                                      std::pair{RLIMIT_AS, kSanitized ? RLIM_INFINITY : limits.memory_bytes}}) {
        if (Status status = limit(what, value); !status) {
            return status;
        }
    }
    if (Status status = become_nobody(); !status) {
        return status;
    }
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return Error::from_errno(errno, "PR_SET_NO_NEW_PRIVS");
    }
    return filter_system_calls();
}

}  // namespace sonde
