// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/target.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "userspace/host/kernel_settings.h"

namespace sonde {
namespace {

constexpr pid_t kImpossiblePid = 4194304 + 1;  // PID_MAX_LIMIT of 64-bit kernels, and one

bool contains(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

TEST(TargetComm, TakesOneToFifteenBytes)
{
    for (const std::string comm : {"g", "geth", "123456789012345", "a b\n\xff"}) {
        const Result<TaskFilter> filter = target_comm(comm);
        ASSERT_TRUE(filter) << comm;
        EXPECT_EQ(filter->kind, SONDE_FILTER_COMM);
        EXPECT_EQ(filter->comm, comm);
    }
}

TEST(TargetComm, RefusesWhatTheKernelCannotKeepAndCountsTheBytes)
{
    const std::pair<std::string, std::string> cases[] = {
        {"", "0 bytes"},
        {"1234567890123456", "16 bytes"},
        {std::string(300, 'x'), "300 bytes"},
        {"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9", "16 bytes"}};
    for (const auto& [comm, bytes] : cases) {
        const Result<TaskFilter> filter = target_comm(comm);
        ASSERT_FALSE(filter) << comm;
        EXPECT_EQ(filter.error().code, EINVAL);
        EXPECT_TRUE(contains(filter.error().what, "'" + comm + "' has " + bytes)) << filter.error().what;
    }
}

TEST(TargetPid, FiltersAProcessThatExists)
{
    const Result<PidTarget> target = target_pid(RootedFs(), ::getpid());
    ASSERT_TRUE(target) << target.error().what;
    EXPECT_EQ(target->filter.kind, SONDE_FILTER_PROCESS);
    EXPECT_EQ(target->filter.tgid, ::getpid());
    pollfd ended{target->pidfd.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&ended, 1, 0), 0) << "this process still runs";
}

TEST(TargetPid, ItsDescriptorTellsWhenTheProcessEnds)
{
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        char byte = 0;
        ::close(ends[1]);
        ::_exit(static_cast<int>(::read(ends[0], &byte, 1)));
    }
    const Result<PidTarget> target = target_pid(RootedFs(), child);
    pollfd ended{target ? target->pidfd.get() : -1, POLLIN, 0};
    const int before = ::poll(&ended, 1, 0);
    write_end.reset();
    const int after = ::poll(&ended, 1, target ? 60000 : 0);
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    ASSERT_TRUE(target) << target.error().what;
    EXPECT_EQ(before, 0);
    EXPECT_EQ(after, 1);
}

TEST(TargetPid, RefusesAThreadAndNamesItsProcess)
{
    std::promise<pid_t> id;
    std::promise<void> seen;
    std::thread thread([&] {
        id.set_value(::gettid());
        seen.get_future().wait();
    });
    const pid_t tid = id.get_future().get();
    const Result<PidTarget> target = target_pid(RootedFs(), tid);
    seen.set_value();
    thread.join();
    ASSERT_FALSE(target);
    EXPECT_EQ(target.error().code, EINVAL);
    EXPECT_EQ(target.error().what, std::to_string(tid) + " is a thread of process " + std::to_string(::getpid()) +
                                       ": use -p " + std::to_string(::getpid()));
}

TEST(TargetPid, RefusesWhatDoesNotExist)
{
    for (const pid_t pid : {kImpossiblePid, 0, -1}) {
        const Result<PidTarget> target = target_pid(RootedFs(), pid);
        ASSERT_FALSE(target) << pid;
        EXPECT_EQ(target.error().code, ESRCH);
        EXPECT_EQ(target.error().what, "there is no process " + std::to_string(pid));
    }
}

// A tree whose /proc/self/mounts names a folder of the tree as the cgroup v2 hierarchy. It is none.
class TargetCgroupTest : public testing::Test {
  protected:
    void SetUp() override
    {
        std::string pattern = testing::TempDir() + "/sonde_target_XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        root_ = pattern;
        mount_ = root_ + "/hierarchy";
        std::filesystem::create_directories(root_ + "/proc/self");
        std::filesystem::create_directories(mount_ + "/sonde.slice");
        std::ofstream(mount_ + "/file") << "1\n";
        set_mounts("tmpfs /tmp tmpfs rw 0 0\nnone " + mount_ + " cgroup2 rw 0 0\n");
    }
    void TearDown() override { std::filesystem::remove_all(root_); }
    void set_mounts(const std::string& text) const { std::ofstream(root_ + "/proc/self/mounts") << text; }
    [[nodiscard]] Error refused(const std::string& path) const
    {
        const Result<TaskFilter> filter = target_cgroup(RootedFs(root_), path);
        EXPECT_FALSE(filter) << path;
        return filter ? Error{} : filter.error();
    }

    std::string root_;
    std::string mount_;
};

TEST_F(TargetCgroupTest, RefusesAFileAndAFolderThatAreNoCgroup)
{
    for (const std::string& path : {mount_ + "/file", mount_ + "/sonde.slice"}) {
        EXPECT_EQ(refused(path).code, EINVAL);
        EXPECT_EQ(refused(path).what, path + " is not a cgroup: give a folder below " + mount_);
    }
}

TEST_F(TargetCgroupTest, LooksBelowTheMountToo)
{
    for (const char* path : {"/sonde.slice", "sonde.slice"}) {
        EXPECT_TRUE(contains(refused(path).what, "is not a cgroup")) << refused(path).what;
    }
    EXPECT_EQ(refused("/none.slice").code, ENOENT);
    EXPECT_TRUE(contains(refused("/none.slice").what, "cgroup /none.slice"));
}

TEST_F(TargetCgroupTest, NeedsCgroupV2)
{
    set_mounts("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n");
    EXPECT_EQ(refused(mount_).code, ENOENT);
    EXPECT_TRUE(contains(refused(mount_).what, "cgroup v2"));
}

TEST(TargetCgroup, IsTheInodeOfTheFolder)
{
    const RootedFs fs;
    const Result<std::string> mount = find_cgroup2_mount(fs);
    struct stat info {};
    if (!mount || ::stat(mount->c_str(), &info) != 0) {
        GTEST_SKIP() << "needs a cgroup v2 hierarchy";
    }
    const Result<TaskFilter> filter = target_cgroup(fs, *mount);
    ASSERT_TRUE(filter) << filter.error().what;
    EXPECT_EQ(filter->kind, SONDE_FILTER_CGROUP);
    EXPECT_EQ(filter->cgroup_id, info.st_ino);
    const Result<TaskFilter> file = target_cgroup(fs, *mount + "/cgroup.procs");
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().code, ENOTDIR);
}

}  // namespace
}  // namespace sonde
