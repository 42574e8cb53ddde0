// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/cgroup_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

#include "userspace/base/rooted_fs.h"
#include "userspace/host/kernel_settings.h"

namespace sonde::test {
namespace {

constexpr const char* kCpuV1 = "/sys/fs/cgroup/cpu";

bool exists(const std::string& path)
{
    return access(path.c_str(), F_OK) == 0;
}

bool write_text(const std::string& path, const std::string& text)
{
    return bool(std::ofstream(path) << text << std::endl);
}

std::string fresh_folder_name()
{
    static int number = 0;
    return "sonde-test-" + std::to_string(getpid()) + "-" + std::to_string(++number);
}

}  // namespace

CgroupFolder CgroupFolder::make_v2()
{
    const Result<std::string> mount = find_cgroup2_mount(RootedFs());
    return mount ? CgroupFolder(*mount, fresh_folder_name()) : CgroupFolder();
}

CgroupFolder CgroupFolder::make_with_cpu_quota()
{
    if (exists(std::string(kCpuV1) + "/cpu.cfs_quota_us")) {
        return {kCpuV1, fresh_folder_name()};
    }
    const Result<std::string> mount = find_cgroup2_mount(RootedFs());
    if (mount && write_text(*mount + "/cgroup.subtree_control", "+cpu")) {
        return {*mount, fresh_folder_name()};
    }
    return {};
}

CgroupFolder::CgroupFolder(const std::string& parent, const std::string& name) : path_(parent + "/" + name)
{
    if (mkdir(path_.c_str(), 0755) != 0) {
        throw std::runtime_error("mkdir " + path_ + " failed");
    }
}

CgroupFolder::~CgroupFolder()
{
    if (usable()) {
        rmdir(path_.c_str());
    }
}

void CgroupFolder::set_cpu_quota(uint64_t quota_us, uint64_t period_us)
{
    const std::string quota = std::to_string(quota_us);
    const std::string period = std::to_string(period_us);
    const bool done = exists(path_ + "/cpu.max") ? write_text(path_ + "/cpu.max", quota + " " + period)
                                                 : write_text(path_ + "/cpu.cfs_period_us", period) &&
                                                       write_text(path_ + "/cpu.cfs_quota_us", quota);
    if (!done) {
        throw std::runtime_error("cannot set a CPU quota in " + path_);
    }
}

uint64_t CgroupFolder::throttled_periods() const
{
    std::ifstream stat(path_ + "/cpu.stat");
    std::string name;
    uint64_t value = 0;
    while (stat >> name >> value) {
        if (name == "nr_throttled") {
            return value;
        }
    }
    throw std::runtime_error("no nr_throttled in " + path_ + "/cpu.stat");
}

void CgroupFolder::enter(pid_t pid) const
{
    if (!write_text(path_ + "/cgroup.procs", std::to_string(pid))) {
        throw std::runtime_error("cannot move a process to " + path_);
    }
}

}  // namespace sonde::test
