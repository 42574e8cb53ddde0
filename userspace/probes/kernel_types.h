// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "userspace/base/result.h"
#include "userspace/probes/raw_btf.h"

namespace sonde {

// The few facts that sonde asks of a kernel's BTF before it loads anything.
struct KernelTypes {
    std::map<std::string, int> tracepoints;    // those with a typedef btf_trace_NAME: number of arguments
    std::map<std::string, int> function_args;  // number of arguments, of the functions asked for
    std::map<std::string, uint32_t> ids;       // type ids of these typedefs and functions, by full name

    // A function without a prototype is an error.
    static Result<KernelTypes> find(const RawBtf& btf, const std::set<std::string_view>& functions);
};

}  // namespace sonde
