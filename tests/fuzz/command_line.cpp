// SPDX-License-Identifier: Apache-2.0
//
// What people type: durations, pids, names, and whole lines of options, a word per line of the input.
#include <sys/resource.h>

#include <cstdint>
#include <sstream>

#include "tests/fuzz/require.h"
#include "userspace/app/target.h"
#include "userspace/base/parse.h"
#include "userspace/cli/cli.h"
#include "userspace/host/kernel_settings.h"

using namespace sonde;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const std::string text(reinterpret_cast<const char*>(data), size);
    const Result<std::chrono::nanoseconds> duration = parse_duration(text);
    require(!duration || (duration->count() >= 1 && *duration <= std::chrono::days(31)), "1 ns to 31 days");
    const Result<pid_t> pid = parse_pid(text);
    require(!pid || *pid > 0, "a pid is positive");
    const Result<TaskFilter> comm = target_comm(text);
    require(static_cast<bool>(comm) == (size >= 1 && size <= 15), "a name has 1 to 15 bytes");
    const Result<uint32_t> cpus = parse_cpu_count(text);
    require(!cpus || (*cpus >= 1 && *cpus <= 65536), "a number of CPUs");

    std::vector<std::string> words{"sonde", "trace"};
    std::istringstream lines(text);
    for (std::string word; std::getline(lines, word) && words.size() < 20;) {
        if (word != "--" && word.find('\0') == std::string::npos) {
            words.push_back(word);
        }
    }
    // These exclude each other, which shows last: whatever came before, nothing is traced.
    words.insert(words.end(), {"-p", "1", "--", "true"});
    const int status = cli::run(words);
    require(status == cli::kUsage || status == cli::kDone, "usage or help");
    return 0;
}
