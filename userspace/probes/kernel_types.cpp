// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/kernel_types.h"

#include <linux/btf.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace sonde {
namespace {

constexpr std::string_view kTracepointPrefix = "btf_trace_";
Error malformed()
{
    return Error{EINVAL, "malformed BTF"};
}

// Bytes behind the head of a type; SIZE_MAX for a kind that this program does not know.
size_t tail_size(const btf_type& type)
{
    const size_t entries = BTF_INFO_VLEN(type.info);
    switch (BTF_INFO_KIND(type.info)) {
        case BTF_KIND_INT:
        case BTF_KIND_VAR:
        case BTF_KIND_DECL_TAG:
            return sizeof(uint32_t);
        case BTF_KIND_ARRAY:
            return sizeof(btf_array);
        case BTF_KIND_STRUCT:
        case BTF_KIND_UNION:
            return entries * sizeof(btf_member);
        case BTF_KIND_ENUM:
            return entries * sizeof(btf_enum);
        case BTF_KIND_ENUM64:
            return entries * sizeof(btf_enum64);
        case BTF_KIND_FUNC_PROTO:
            return entries * sizeof(btf_param);
        case BTF_KIND_DATASEC:
            return entries * sizeof(btf_var_secinfo);
        case BTF_KIND_PTR:
        case BTF_KIND_FWD:
        case BTF_KIND_TYPEDEF:
        case BTF_KIND_VOLATILE:
        case BTF_KIND_CONST:
        case BTF_KIND_RESTRICT:
        case BTF_KIND_FUNC:
        case BTF_KIND_FLOAT:
        case BTF_KIND_TYPE_TAG:
            return 0;
        default:
            return SIZE_MAX;
    }
}

struct Sections {
    std::span<const char> types;
    std::span<const char> strings;
};

Result<Sections> sections_of(std::span<const char> btf)
{
    btf_header header{};
    if (btf.size() < sizeof(header)) {
        return malformed();
    }
    std::memcpy(&header, btf.data(), sizeof(header));
    const auto part = [&](uint64_t offset, uint64_t length) {
        const uint64_t begin = header.hdr_len + offset;
        return begin + length <= btf.size() ? btf.subspan(begin, length) : std::span<const char>();
    };
    const Sections sections{part(header.type_off, header.type_len), part(header.str_off, header.str_len)};
    if (header.magic != BTF_MAGIC || sections.types.empty() || sections.strings.empty() ||
        sections.strings.back() != '\0') {
        return malformed();
    }
    return sections;
}

}  // namespace

Result<KernelTypes> KernelTypes::scan(std::span<const char> btf, const std::set<std::string_view>& functions)
{
    const Result<Sections> sections = sections_of(btf);
    if (!sections) {
        return sections.error();
    }
    const std::span<const char> types = sections->types;
    KernelTypes result;
    std::vector<std::pair<std::string, uint32_t>> wanted_prototypes;  // function, id of its prototype
    std::vector<std::pair<uint32_t, int>> prototype_args;             // ascending by id
    size_t at = 0;
    for (uint32_t id = 1; at < types.size(); ++id) {
        btf_type type{};
        if (types.size() - at < sizeof(type)) {
            return malformed();
        }
        std::memcpy(&type, types.data() + at, sizeof(type));
        const size_t tail = tail_size(type);
        if (tail > types.size() - at - sizeof(type) || type.name_off >= sections->strings.size()) {
            return malformed();
        }
        at += sizeof(type) + tail;
        const uint32_t kind = BTF_INFO_KIND(type.info);
        if (kind == BTF_KIND_FUNC_PROTO) {
            prototype_args.emplace_back(id, BTF_INFO_VLEN(type.info));
            continue;
        }
        if (kind != BTF_KIND_TYPEDEF && kind != BTF_KIND_FUNC) {
            continue;
        }
        const std::string_view name = sections->strings.data() + type.name_off;
        if (kind == BTF_KIND_TYPEDEF && name.starts_with(kTracepointPrefix)) {
            result.tracepoints.emplace(name.substr(kTracepointPrefix.size()));
            result.ids.emplace(name, id);
        } else if (kind == BTF_KIND_FUNC && functions.contains(name)) {
            result.ids.emplace(name, id);
            wanted_prototypes.emplace_back(name, type.type);
        }
    }
    for (const auto& [name, prototype] : wanted_prototypes) {
        const auto found = std::lower_bound(prototype_args.begin(), prototype_args.end(), std::pair(prototype, 0));
        if (found == prototype_args.end() || found->first != prototype) {
            return malformed();
        }
        result.function_args.emplace(name, found->second);
    }
    return result;
}

}  // namespace sonde
