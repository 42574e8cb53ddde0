// SPDX-License-Identifier: Apache-2.0
#include "userspace/host/process_count.h"

#include <algorithm>

namespace sonde {

uint32_t count_processes(const RootedFs& fs)
{
    const Result<std::vector<std::string>> names = fs.list("/proc");
    if (!names) {
        return 0;
    }
    return static_cast<uint32_t>(std::count_if(names->begin(), names->end(), [](const std::string& name) {
        return name.find_first_not_of("0123456789") == std::string::npos;
    }));
}

}  // namespace sonde
