// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "userspace/base/result.h"

namespace sonde {

// The few facts that sonde asks of a kernel's BTF before it loads anything. libbpf could tell them too, but
// it copies the 5 MB and indexes each of 150,000 types, which takes 8 ms and 11 MB: as long as loading a
// BPF object. This walks over the types once, in 1 ms. Format: Documentation/bpf/btf.rst of the kernel.
struct KernelTypes {
    std::set<std::string> tracepoints;         // those with a typedef btf_trace_NAME
    std::map<std::string, int> function_args;  // number of arguments, of the functions asked for
    std::map<std::string, uint32_t> ids;       // type ids of these typedefs and functions, by full name

    // Raw BTF in the byte order of this machine. Truncated or inconsistent data is an error.
    static Result<KernelTypes> scan(std::span<const char> btf, const std::set<std::string_view>& functions);
};

}  // namespace sonde
