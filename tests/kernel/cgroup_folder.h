// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace sonde::test {

// A new cgroup for one test, removed at its end (its processes must have ended by then).
class CgroupFolder {
  public:
    // Below the cgroup v2 hierarchy.
    static CgroupFolder make_v2();
    // Where CPU quotas can be set: the cpu controller of cgroup v1, or v2. Not usable() where there is neither.
    static CgroupFolder make_with_cpu_quota();
    CgroupFolder(const std::string& parent, const std::string& name);
    ~CgroupFolder();
    CgroupFolder(const CgroupFolder&) = delete;
    CgroupFolder& operator=(const CgroupFolder&) = delete;

    [[nodiscard]] bool usable() const { return !path_.empty(); }
    [[nodiscard]] const std::string& path() const { return path_; }
    // CPU time that the group may use per `period_us` of wall time.
    void set_cpu_quota(uint64_t quota_us, uint64_t period_us);
    // Periods in which the kernel held the group back, by its own count.
    [[nodiscard]] uint64_t throttled_periods() const;
    void enter(pid_t pid) const;

  private:
    CgroupFolder() = default;
    std::string path_;
};

}  // namespace sonde::test
