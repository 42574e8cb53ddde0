// SPDX-License-Identifier: Apache-2.0
#include "userspace/host/capabilities.h"

#include <linux/capability.h>

#include <array>
#include <charconv>
#include <cstring>

namespace sonde {
namespace {

struct Name {
    int capability;
    const char* name;
};

constexpr std::array<Name, 7> kNames{{{CAP_BPF, "CAP_BPF"},
                                      {CAP_PERFMON, "CAP_PERFMON"},
                                      {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
                                      {CAP_NET_ADMIN, "CAP_NET_ADMIN"},
                                      {CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
                                      {CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"},
                                      {CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE"}}};

}  // namespace

std::vector<std::string> Capabilities::missing_for_tracing() const
{
    std::vector<std::string> missing;
    if (has(CAP_SYS_ADMIN)) {
        return missing;
    }
    if (!has(CAP_BPF)) {
        missing.emplace_back("CAP_BPF");
    }
    if (!has(CAP_PERFMON)) {
        missing.emplace_back("CAP_PERFMON");
    }
    return missing;
}

std::vector<std::string> Capabilities::present() const
{
    std::vector<std::string> names;
    for (const Name& known : kNames) {
        if (has(known.capability)) {
            names.emplace_back(known.name);
        }
    }
    return names;
}

Result<Capabilities> read_capabilities(const RootedFs& fs)
{
    const Result<std::string> status = fs.read("/proc/self/status");
    if (!status) {
        return status.error();
    }
    constexpr std::string_view kKey =
        "\nCapEff:\t";  // at a line's beginning: the name of the process is in the file too
    const size_t at = status->find(kKey);
    Capabilities capabilities;
    const char* end = status->data() + status->size();
    if (at == std::string::npos ||
        std::from_chars(status->data() + at + kKey.size(), end, capabilities.effective, 16).ec != std::errc()) {
        return Error{EINVAL, "no CapEff in /proc/self/status"};
    }
    return capabilities;
}

}  // namespace sonde
