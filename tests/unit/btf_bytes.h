// SPDX-License-Identifier: Apache-2.0
//
// BTF made byte by byte, for tests of what reads it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sonde::test {

// Kinds and sizes as Documentation/bpf/btf.rst of the kernel gives them, not from its headers.
enum Kind : uint32_t {
    kInt = 1,
    kPtr = 2,
    kArray = 3,
    kStruct = 4,
    kEnum = 6,
    kFwd = 7,
    kTypedef = 8,
    kConst = 10,
    kFunc = 12,
    kFuncProto = 13,
    kFloat = 16,
    kEnum64 = 19,
};
constexpr uint32_t kKindFlag = 0x80;  // bit 31 of a type's info, seen from the kind
constexpr uint32_t kHeaderBytes = 24;
constexpr uint32_t kTypeBytes = 12;

struct Layout {
    uint32_t kind;
    uint32_t entries;
    uint32_t tail_bytes;
};
// Kinds 1 to 19, in order: INT PTR ARRAY STRUCT, UNION ENUM FWD TYPEDEF, VOLATILE CONST RESTRICT FUNC (its number
// is the linkage: nothing follows), FUNC_PROTO VAR DATASEC FLOAT, DECL_TAG TYPE_TAG ENUM64; then without entries.
constexpr Layout kLayouts[] = {{1, 0, 4},   {2, 0, 0},  {3, 0, 12},  {4, 3, 36}, {5, 2, 24}, {6, 3, 24},
                               {7, 0, 0},   {8, 0, 0},  {9, 0, 0},   {10, 0, 0}, {11, 0, 0}, {12, 1, 0},
                               {13, 5, 40}, {14, 0, 4}, {15, 2, 24}, {16, 0, 0}, {17, 0, 4}, {18, 0, 0},
                               {19, 3, 36}, {4, 0, 0},  {6, 0, 0},   {13, 0, 0}};
constexpr Layout kLargestStruct{4, 65535, 65535 * 12};

inline void put(std::vector<char>& bytes, uint32_t value)
{
    const char* begin = reinterpret_cast<const char*>(&value);
    bytes.insert(bytes.end(), begin, begin + sizeof(value));
}

// Header, types, strings.
class Btf {
  public:
    uint32_t add_name(const std::string& text)
    {
        strings.insert(strings.end(), text.c_str(), text.c_str() + text.size() + 1);
        return static_cast<uint32_t>(strings.size() - text.size() - 1);
    }
    // Returns the type's id. The tail is all ones: were it read as a type, the type would be malformed.
    uint32_t add(uint32_t kind, uint32_t name, uint32_t entries = 0, uint32_t type = 0, uint32_t tail_bytes = 0)
    {
        put(types, name);
        put(types, kind << 24 | entries);
        put(types, type);
        types.insert(types.end(), tail_bytes, '\xff');
        ends.push_back(types.size());
        return static_cast<uint32_t>(ends.size());
    }
    // The same with records behind it, of four-byte numbers. `size_or_type` as the kind wants it.
    uint32_t add_with(const std::string& name, uint32_t kind, uint32_t entries, uint32_t size_or_type,
                      const std::vector<uint32_t>& tail)
    {
        const uint32_t id = add(kind, name.empty() ? 0 : add_name(name), entries, size_or_type);
        for (const uint32_t value : tail) {
            put(types, value);
        }
        ends.back() = types.size();
        return id;
    }
    uint32_t add(const std::string& name, uint32_t kind, uint32_t type) { return add(kind, add_name(name), 0, type); }
    uint32_t add(const Layout& layout) { return add(layout.kind, 0, layout.entries, 0, layout.tail_bytes); }
    uint32_t add_prototype(uint32_t arguments) { return add(kFuncProto, 0, arguments, 0, arguments * 8); }

    [[nodiscard]] std::vector<char> bytes() const
    {
        std::vector<char> all;
        put(all, 0xeb9f | 1U << 16);  // magic, version
        put(all, kHeaderBytes);
        put(all, 0);
        put(all, static_cast<uint32_t>(types.size()));
        put(all, static_cast<uint32_t>(types.size()));
        put(all, static_cast<uint32_t>(strings.size()));
        all.insert(all.end(), types.begin(), types.end());
        all.insert(all.end(), strings.begin(), strings.end());
        return all;
    }

    std::vector<char> types;
    std::vector<size_t> ends;  // of each type
    std::vector<char> strings{'\0'};
};

}  // namespace sonde::test
