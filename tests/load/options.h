// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sonde::load {

constexpr double kMaxSeconds = 120;

// For options: "sonde-load: what", exits with 2.
[[noreturn]] void usage_error(const std::string& what);

// "--name value" and "--flag" arguments of one load.
class Options {
  public:
    // Exits with a message if a name is not in `accepted` (space-separated) or common to all loads.
    Options(const std::vector<std::string>& arguments, std::string_view accepted);

    [[nodiscard]] bool has(const std::string& name) const { return values_.count(name) != 0; }
    [[nodiscard]] std::string text(const std::string& name, const std::string& fallback) const;
    // REQUIRES of the user: a whole number in [least, most].
    [[nodiscard]] uint64_t number(const std::string& name, uint64_t fallback, uint64_t least, uint64_t most) const;
    [[nodiscard]] double seconds(double fallback) const;
    // CPU of the task number `task`: --cpu, --cpu2 or --cpus, used in turn; -1 where none is given.
    [[nodiscard]] int cpu_of(size_t task) const;

  private:
    std::map<std::string, std::string> values_;
    std::vector<int> cpus_;
};

}  // namespace sonde::load
