// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/raw_btf.h"

namespace sonde {
namespace {

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
            return sizeof(struct btf_array);
        case BTF_KIND_STRUCT:
        case BTF_KIND_UNION:
            return entries * sizeof(struct btf_member);
        case BTF_KIND_ENUM:
            return entries * sizeof(struct btf_enum);
        case BTF_KIND_ENUM64:
            return entries * sizeof(struct btf_enum64);
        case BTF_KIND_FUNC_PROTO:
            return entries * sizeof(struct btf_param);
        case BTF_KIND_DATASEC:
            return entries * sizeof(struct btf_var_secinfo);
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

}  // namespace

Result<RawBtf> RawBtf::open(std::span<const char> btf)
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
    RawBtf raw(part(header.type_off, header.type_len), part(header.str_off, header.str_len));
    if (header.magic != BTF_MAGIC || raw.types_.empty() || raw.strings_.empty() || raw.strings_.back() != '\0') {
        return malformed();
    }
    raw.offsets_.reserve(raw.types_.size() / 40);  // most types have some records
    for (size_t at = 0; at < raw.types_.size();) {
        if (raw.types_.size() - at < sizeof(btf_type)) {
            return malformed();
        }
        const auto type = raw.load<btf_type>(at);
        const size_t tail = tail_size(type);
        if (tail > raw.types_.size() - at - sizeof(type) || type.name_off >= raw.strings_.size()) {
            return malformed();
        }
        raw.offsets_.push_back(static_cast<uint32_t>(at));
        at += sizeof(type) + tail;
    }
    return raw;
}

}  // namespace sonde
