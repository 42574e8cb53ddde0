// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <functional>

namespace sonde {
namespace {

constexpr SandboxLimits kLimits{uint64_t{1} << 30, 5};

// How a process ended that did this behind the filter; it keeps `keep`.
int status_of(const std::function<int()>& action, const std::vector<int>& keep = {})
{
    const pid_t child = ::fork();
    if (child == 0) {
        const Status status = shut_in(kLimits, keep);
        ::_exit(status ? action() : 99);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
}

TEST(Sandbox, ReadsAndWritesWhatItKeeps)
{
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const int other = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int status = status_of(
        [&] {
            char byte = 0;
            const bool kept = ::write(ends[1], "x", 1) == 1 && ::read(ends[0], &byte, 1) == 1 && byte == 'x';
            return kept && ::read(other, &byte, 1) == -1 && errno == EBADF ? 7 : 1;
        },
        {ends[0], ends[1]});
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 7);
    for (const int fd : {ends[0], ends[1], other}) {
        ::close(fd);
    }
}

TEST(Sandbox, IsKilledForAnythingElse)
{
    const std::vector<std::pair<const char*, std::function<int()>>> actions{
        {"open", [] { return ::open("/etc/passwd", O_RDONLY | O_CLOEXEC); }},
        {"socket", [] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }},
        {"fork", [] { return static_cast<int>(::fork()); }},
        {"exec", [] { return ::execl("/bin/true", "true", nullptr); }},
        {"kill", [] { return ::kill(::getppid(), 0); }},
        {"kill by thread",
         [] { return static_cast<int>(::syscall(SYS_tgkill, ::syscall(SYS_getpid) - 1, 1, SIGCONT)); }},
        {"code",
         [] { return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED; }},
        {"a file in memory", [] { return ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, 0, 0) == MAP_FAILED; }},
    };
    for (const auto& [name, action] : actions) {
        const int status = status_of(action);
        EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << name << ": " << status;
    }
    const auto memory = [] {
        return ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 1 : 7;
    };
    EXPECT_EQ(WEXITSTATUS(status_of(memory)), 7);
    const int aborted = status_of([]() -> int { std::abort(); });
    EXPECT_TRUE(WIFSIGNALED(aborted) && WTERMSIG(aborted) == SIGABRT) << aborted;
}

TEST(Sandbox, RootBecomesNobody)
{
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const Status status = shut_in(kLimits, {ends[0]});
        char byte = 0;
        ::_exit(status && ::read(ends[0], &byte, 1) == 1 ? 7 : 1);
    }
    // It waits for a byte; what the kernel says of it stands in its folder meanwhile.
    std::string uid;
    const std::string path = "/proc/" + std::to_string(child) + "/status";
    for (int tries = 0; tries < 5000 && uid.find("65534") == std::string::npos; ++tries) {
        ::usleep(1000);
        FILE* file = ::fopen(path.c_str(), "re");
        ASSERT_NE(file, nullptr);
        std::array<char, 256> line{};
        while (::fgets(line.data(), line.size(), file) != nullptr) {
            uid = std::string(line.data()).starts_with("Uid:") ? line.data() : uid;
        }
        ::fclose(file);
    }
    EXPECT_EQ(uid, "Uid:\t65534\t65534\t65534\t65534\n");
    ASSERT_EQ(::write(ends[1], "x", 1), 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 7);
    ::close(ends[0]);
    ::close(ends[1]);
}

}  // namespace
}  // namespace sonde
