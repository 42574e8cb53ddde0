// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/kernel_types.h"

namespace sonde {
namespace {

constexpr std::string_view kTracepointPrefix = "btf_trace_";

// Of the function that a tracepoint calls, without the `void *__data` that comes first; -1 where `type` is no pointer
// to a function.
int tracepoint_args(const RawBtf& btf, uint32_t type)
{
    if (!btf.contains(type) || BTF_INFO_KIND(btf.type(type).info) != BTF_KIND_PTR) {
        return -1;
    }
    const uint32_t function = btf.type(type).type;
    if (!btf.contains(function) || BTF_INFO_KIND(btf.type(function).info) != BTF_KIND_FUNC_PROTO) {
        return -1;
    }
    return static_cast<int>(BTF_INFO_VLEN(btf.type(function).info)) - 1;
}

}  // namespace

Result<KernelTypes> KernelTypes::find(const RawBtf& btf, const std::set<std::string_view>& functions)
{
    KernelTypes result;
    for (uint32_t id = 1; id <= btf.count(); ++id) {
        const btf_type type = btf.type(id);
        const uint32_t kind = BTF_INFO_KIND(type.info);
        if (kind != BTF_KIND_TYPEDEF && kind != BTF_KIND_FUNC) {
            continue;
        }
        const std::string_view name = btf.name(type.name_off);
        if (kind == BTF_KIND_TYPEDEF && name.starts_with(kTracepointPrefix)) {
            result.tracepoints.emplace(name.substr(kTracepointPrefix.size()), tracepoint_args(btf, type.type));
            result.ids.emplace(name, id);
        } else if (kind == BTF_KIND_FUNC && functions.contains(name)) {
            if (!btf.contains(type.type) || BTF_INFO_KIND(btf.type(type.type).info) != BTF_KIND_FUNC_PROTO) {
                return RawBtf::malformed();
            }
            result.ids.emplace(name, id);
            result.function_args.emplace(name, BTF_INFO_VLEN(btf.type(type.type).info));
        }
    }
    return result;
}

}  // namespace sonde
