// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/type_subset.h"

#include <bpf/libbpf.h>

#include <memory>
#include <unordered_map>

#include "userspace/probes/libbpf_ptr.h"

namespace sonde {
namespace {

constexpr int kMaxDepth = 64;           // a struct in a struct in an array ...: kernels have up to some ten
constexpr uint64_t kMaxUnnamed = 4096;  // see Copier::unnamed_: Linux 6.18 has up to 24
constexpr std::string_view kVariantMark = "___";

struct ObjectDeleter {
    void operator()(bpf_object* object) const { bpf_object__close(object); }
};

bool is_named_by_users(uint32_t kind)
{
    return kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_ENUM;
}

// libbpf's functions that add something return its id, or a negative errno; here 0 is void and errors are negative.
class Copier {
  public:
    Copier(const RawBtf& from, btf* to) : from_(from), to_(to) {}

    int copy(uint32_t id, int depth = 0)
    {
        if (id == 0) {
            return 0;
        }
        if (!from_.contains(id) || depth > kMaxDepth) {
            return -EINVAL;
        }
        if (const auto known = copies_.find(id); known != copies_.end()) {
            return known->second;
        }
        const int copied = copy_new(id, from_.type(id), depth);
        copies_.emplace(id, copied);
        return copied;
    }

  private:
    int copy_new(uint32_t id, const btf_type& type, int depth)
    {
        // libbpf reads it to its end, which it has: all strings of a BTF end within it.
        const char* name = from_.name(type.name_off).data();
        switch (BTF_INFO_KIND(type.info)) {
            case BTF_KIND_TYPEDEF:
            case BTF_KIND_CONST:
            case BTF_KIND_VOLATILE:
            case BTF_KIND_RESTRICT:
            case BTF_KIND_TYPE_TAG:
                return copy(type.type, depth + 1);
            case BTF_KIND_PTR:
                pointer_ = pointer_ != 0 ? pointer_ : btf__add_ptr(to_, 0);
                return pointer_;
            case BTF_KIND_INT:
                return copy_int(name, type.size, from_.record<uint32_t>(id));
            case BTF_KIND_ARRAY:
                return copy_array(from_.record<struct btf_array>(id), depth);
            case BTF_KIND_STRUCT:
            case BTF_KIND_UNION:
                return copy_struct(id, type, name, depth);
            case BTF_KIND_ENUM:
                return copy_enum(id, type, name);
            case BTF_KIND_ENUM64:
                return copy_enum64(id, type, name);
            case BTF_KIND_FLOAT:
                return btf__add_float(to_, name, type.size);
            default:
                return -EINVAL;  // not to be held by value
        }
    }

    int copy_int(const char* name, uint32_t size, uint32_t details)
    {
        // Bit fields of old: compilers now say the width at the field.
        if (BTF_INT_OFFSET(details) != 0 || BTF_INT_BITS(details) != 8 * size) {
            return -ENOTSUP;
        }
        return btf__add_int(to_, name, size, static_cast<int>(BTF_INT_ENCODING(details)));
    }

    int copy_array(const struct btf_array& array, int depth)
    {
        const int index = copy(array.index_type, depth + 1);
        const int element = copy(array.type, depth + 1);
        return index < 0 || element < 0 ? -EINVAL : btf__add_array(to_, index, element, array.nelems);
    }

    int copy_struct(uint32_t id, const btf_type& type, const char* name, int depth)
    {
        const bool has_widths = BTF_INFO_KFLAG(type.info);
        std::vector<int> types(BTF_INFO_VLEN(type.info));
        uint64_t unnamed = 1;
        for (uint32_t i = 0; i < types.size(); ++i) {
            const auto member = from_.record<btf_member>(id, i);
            types[i] = copy(member.type, depth + 1);
            if (types[i] < 0) {
                return types[i];
            }
            const auto held = unnamed_.find(types[i]);
            unnamed += from_.name(member.name_off).empty() && held != unnamed_.end() ? held->second : 0;
        }
        if (unnamed > kMaxUnnamed) {
            return -E2BIG;
        }
        const int copied = BTF_INFO_KIND(type.info) == BTF_KIND_STRUCT ? btf__add_struct(to_, name, type.size)
                                                                       : btf__add_union(to_, name, type.size);
        for (uint32_t i = 0; copied >= 0 && i < types.size(); ++i) {
            const auto member = from_.record<btf_member>(id, i);
            const uint32_t offset = has_widths ? BTF_MEMBER_BIT_OFFSET(member.offset) : member.offset;
            const uint32_t width = has_widths ? BTF_MEMBER_BITFIELD_SIZE(member.offset) : 0;
            if (const int error = btf__add_field(to_, from_.name(member.name_off).data(), types[i], offset, width);
                error != 0) {
                return error;
            }
        }
        unnamed_.emplace(copied, unnamed);
        return copied;
    }

    int copy_enum(uint32_t id, const btf_type& type, const char* name)
    {
        const int copied = btf__add_enum(to_, name, type.size);
        for (uint32_t i = 0; copied >= 0 && i < BTF_INFO_VLEN(type.info); ++i) {
            const auto value = from_.record<struct btf_enum>(id, i);
            const int64_t number = BTF_INFO_KFLAG(type.info) ? int64_t{value.val} : int64_t{uint32_t(value.val)};
            if (const int error = btf__add_enum_value(to_, from_.name(value.name_off).data(), number); error != 0) {
                return error;
            }
        }
        return copied;
    }

    int copy_enum64(uint32_t id, const btf_type& type, const char* name)
    {
        const int copied = btf__add_enum64(to_, name, type.size, BTF_INFO_KFLAG(type.info));
        for (uint32_t i = 0; copied >= 0 && i < BTF_INFO_VLEN(type.info); ++i) {
            const auto value = from_.record<struct btf_enum64>(id, i);
            const uint64_t number = uint64_t{value.val_hi32} << 32 | value.val_lo32;
            if (const int error = btf__add_enum64_value(to_, from_.name(value.name_off).data(), number); error != 0) {
                return error;
            }
        }
        return copied;
    }

    const RawBtf& from_;
    btf* to_;
    int pointer_ = 0;  // the one pointer, to void
    // Of each copied struct: itself and the unnamed structs in it, each as often as it is held. libbpf goes through all
    // of them for a field that is not there, so forty that hold the next one twice would keep it busy for years.
    std::unordered_map<int, uint64_t> unnamed_;
    std::unordered_map<uint32_t, int> copies_;
};

}  // namespace

Result<std::vector<char>> type_subset(const RawBtf& btf, const TypeNames& names)
{
    const BtfPtr subset(btf__new_empty());
    if (!subset) {
        return Error::from_errno(errno, "make a BTF");
    }
    Copier copier(btf, subset.get());
    for (uint32_t id = 1; id <= btf.count(); ++id) {
        const btf_type type = btf.type(id);
        if (!is_named_by_users(BTF_INFO_KIND(type.info)) || !names.contains(btf.name(type.name_off))) {
            continue;
        }
        if (const int copied = copier.copy(id); copied < 0) {
            return Error{-copied, "copy type " + std::string(btf.name(type.name_off)) + " of the kernel's BTF"};
        }
    }
    if (btf__type_cnt(subset.get()) == 1) {  // void
        return Error{ENOENT, "none of the types asked for is in the BTF"};
    }
    __u32 size = 0;
    const void* bytes = btf__raw_data(subset.get(), &size);
    if (bytes == nullptr) {
        return Error::from_errno(errno, "make a BTF");
    }
    const char* begin = static_cast<const char*>(bytes);
    return std::vector<char>(begin, begin + size);
}

Status add_type_names(std::span<const char> object, TypeNames& names)
{
    const std::unique_ptr<bpf_object, ObjectDeleter> opened(
        bpf_object__open_mem(object.data(), object.size(), nullptr));
    if (!opened) {
        return Error::from_errno(errno, "open a BPF object");
    }
    const btf* types = bpf_object__btf(opened.get());
    for (uint32_t id = 1; id < btf__type_cnt(types); ++id) {
        const btf_type* type = btf__type_by_id(types, id);
        const std::string_view name = btf__name_by_offset(types, type->name_off);
        if (is_named_by_users(btf_kind(type)) && !name.empty()) {
            names.emplace(name.substr(0, name.find(kVariantMark)));
        }
    }
    return ok();
}

}  // namespace sonde
