// SPDX-License-Identifier: Apache-2.0
#include "userspace/host/process.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <iterator>
#include <sstream>

#include "userspace/base/parse.h"

namespace sonde {
namespace {

constexpr size_t kMaxWords = 256;  // of a command line
constexpr std::string_view kDeleted(" (deleted)");

std::string folder_of(pid_t pid)
{
    return "/proc/" + std::to_string(pid);
}

std::vector<std::string> words_of(const std::string& line)
{
    std::vector<std::string> words;
    std::istringstream all(line);
    for (std::string word; words.size() < kMaxWords && std::getline(all, word, '\0');) {
        words.push_back(std::move(word));
    }
    return words;
}

// Lines "0::/path" (version 2) or "1:name=systemd:/path".
std::string cgroup_path(const std::string& text)
{
    std::string path;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const size_t first = line.find(':');
        const size_t second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            continue;
        }
        const std::string hierarchy = line.substr(first + 1, second - first - 1);
        if (hierarchy == "name=systemd" || (hierarchy.empty() && path.empty())) {
            path = line.substr(second + 1);
        }
    }
    return path;
}

bool is_hex(std::string_view text)
{
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
}

// The number of a container, shortened as its tools do; empty if there is none.
std::string container_id(std::string_view part)
{
    constexpr size_t kWhole = 64, kShown = 12;
    if (part.ends_with(".scope")) {
        part.remove_suffix(std::string_view(".scope").size());
    }
    part.remove_prefix(part.find_last_of("-:") == std::string_view::npos ? 0 : part.find_last_of("-:") + 1);
    return part.size() == kWhole && is_hex(part) ? std::string(part.substr(0, kShown)) : "";
}

}  // namespace

Result<std::vector<pid_t>> process_ids(const RootedFs& fs)
{
    const Result<std::vector<std::string>> names = fs.list("/proc");
    if (!names) {
        return names.error();
    }
    std::vector<pid_t> pids;
    for (const std::string& name : *names) {
        if (const Result<pid_t> pid = parse_pid(name)) {
            pids.push_back(*pid);
        }
    }
    std::sort(pids.begin(), pids.end());
    return pids;
}

uint64_t start_ticks(const RootedFs& fs, pid_t pid)
{
    constexpr size_t kStartField = 22, kAfterName = 3;
    const Result<std::string> stat = fs.read_line(folder_of(pid) + "/stat");
    // The name, in parentheses, may hold blanks and parentheses.
    const size_t name_end = stat ? stat->rfind(')') : std::string::npos;
    if (name_end == std::string::npos) {
        return 0;
    }
    std::istringstream fields(stat->substr(name_end + 1));
    std::string field;
    for (size_t i = kAfterName; i <= kStartField; ++i) {
        fields >> field;
    }
    uint64_t ticks = 0;
    std::from_chars(field.data(), field.data() + field.size(), ticks);
    return ticks;
}

Result<ProcessInfo> read_process(const RootedFs& fs, pid_t pid)
{
    ProcessInfo info;
    info.pid = pid;
    info.start_ticks = start_ticks(fs, pid);
    const Result<std::string> comm = fs.read_line(folder_of(pid) + "/comm");
    if (!comm || info.start_ticks == 0) {
        return Error{ESRCH, "process " + std::to_string(pid) + " has ended"};
    }
    info.comm = *comm;
    if (const Result<std::string> link = fs.read_link(folder_of(pid) + "/exe")) {
        info.executable = *link;
        if (info.executable.ends_with(kDeleted)) {
            info.executable.resize(info.executable.size() - kDeleted.size());
            info.executable_replaced = true;
        }
    }
    if (const Result<std::string> line = fs.read(folder_of(pid) + "/cmdline")) {
        info.command = words_of(*line);
    }
    if (const Result<std::string> groups = fs.read(folder_of(pid) + "/cgroup")) {
        info.cgroup = cgroup_path(*groups);
    }
    return info;
}

std::vector<std::string> thread_names(const RootedFs& fs, pid_t pid)
{
    std::vector<std::string> names;
    const std::string folder = folder_of(pid) + "/task";
    const Result<std::vector<std::string>> threads = fs.list(folder);
    for (const std::string& thread : threads ? *threads : std::vector<std::string>()) {
        if (const Result<std::string> name = fs.read_line(std::string(folder).append("/").append(thread) + "/comm")) {
            names.push_back(*name);
        }
    }
    return names;
}

// "/system.slice/geth.service", "/system.slice/docker-ID.scope", "/docker/ID", "/machine.slice/libpod-ID.scope",
// "/kubepods.slice/kubepods-podUID.slice/cri-containerd-ID.scope".
std::string cgroup_owner(const std::string& cgroup)
{
    constexpr std::array kEngines{std::pair{"docker", "docker"},    std::pair{"libpod", "podman"},
                                  std::pair{"kubepods", "pod"},     std::pair{"containerd", "container"},
                                  std::pair{"crio", "container"},   std::pair{"lxc", "lxc"},
                                  std::pair{"machine", "container"}};
    std::string unit;
    std::istringstream parts(cgroup);
    for (std::string part; std::getline(parts, part, '/');) {
        if (const std::string id = container_id(part); !id.empty()) {
            const auto engine = std::find_if(kEngines.begin(), kEngines.end(), [&cgroup](const auto& e) {
                return cgroup.find(e.first) != std::string::npos;
            });
            return std::string(engine == kEngines.end() ? "container" : engine->second) + " " + id;
        }
        if (part.ends_with(".service")) {
            unit = part;
        }
    }
    return unit;
}

}  // namespace sonde
