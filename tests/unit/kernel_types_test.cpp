// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/kernel_types.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/unit/btf_bytes.h"
#include "userspace/probes/libbpf_ptr.h"

namespace sonde {
namespace {

using test::Btf;
using test::kFunc;
using test::kHeaderBytes;
using test::kInt;
using test::kKindFlag;
using test::kLargestStruct;
using test::kLayouts;
using test::kPtr;
using test::kTypeBytes;
using test::kTypedef;
using test::Layout;
using Ids = std::map<std::string, uint32_t>;

Result<KernelTypes> find_in(const std::vector<char>& bytes, const std::set<std::string_view>& functions)
{
    const Result<RawBtf> btf = RawBtf::open(bytes);
    return btf ? KernelTypes::find(*btf, functions) : Result<KernelTypes>(btf.error());
}

Btf with_every_kind()
{
    Btf btf;
    for (const Layout& layout : kLayouts) {
        btf.add(layout);
    }
    return btf;
}

KernelTypes types_of(const std::vector<char>& bytes, const std::set<std::string_view>& functions = {})
{
    const Result<KernelTypes> types = find_in(bytes, functions);
    EXPECT_TRUE(types) << types.error().what;
    return types ? *types : KernelTypes();
}

void expect_malformed(const std::vector<char>& bytes, const std::string& what)
{
    const Result<KernelTypes> types = find_in(bytes, {"f"});
    ASSERT_FALSE(types) << what;
    EXPECT_EQ(types.error().code, EINVAL) << what;
}

TEST(KernelTypes, CountsTheArgumentsOfATracepoint)
{
    Btf btf;
    const uint32_t prototype = btf.add_prototype(4);
    const uint32_t pointer = btf.add(kPtr, 0, 0, prototype);
    btf.add("btf_trace_a", kTypedef, pointer);
    btf.add("btf_trace_b", kTypedef, prototype);  // no pointer
    btf.add("btf_trace_c", kTypedef, btf.add(kPtr, 0, 0, pointer));
    btf.add("btf_trace_d", kTypedef, btf.add(kPtr, 0, 0, 999));
    // Without the first, `void *__data`.
    EXPECT_EQ(types_of(btf.bytes()).tracepoints,
              (std::map<std::string, int>{{"a", 3}, {"b", -1}, {"c", -1}, {"d", -1}}));
}

TEST(KernelTypes, FindsTracepointsByTheirTypedefs)
{
    Btf btf;
    btf.add("btf_trace_sched_switch", kTypedef, 7);
    btf.add("btf_trace", kTypedef, 7);
    btf.add("my_btf_trace_x", kTypedef, 7);
    btf.add("btf_trace_not_a_typedef", kFunc, 7);
    const uint32_t second = btf.add("btf_trace_tcp_probe", kTypedef, 7);
    const KernelTypes types = types_of(btf.bytes());
    EXPECT_EQ(types.tracepoints, (std::map<std::string, int>{{"sched_switch", -1}, {"tcp_probe", -1}}));
    EXPECT_EQ(types.ids, (Ids{{"btf_trace_sched_switch", 1}, {"btf_trace_tcp_probe", second}}));
    EXPECT_TRUE(types.function_args.empty());
}

TEST(KernelTypes, StepsOverEveryKindThatItKnows)
{
    std::vector<Layout> layouts(std::begin(kLayouts), std::end(kLayouts));
    layouts.push_back(kLargestStruct);
    for (const Layout& layout : layouts) {
        for (const uint32_t flag : {0U, kKindFlag}) {
            Btf btf;
            btf.add(layout.kind | flag, 0, layout.entries, 0, layout.tail_bytes);
            btf.add("btf_trace_x", kTypedef, 1);
            EXPECT_EQ(types_of(btf.bytes()).ids, (Ids{{"btf_trace_x", 2}})) << layout.kind << ", " << layout.entries;
        }
    }
    for (const uint32_t unknown : {0U, 20U, 31U}) {
        Btf btf;
        btf.add(unknown, 0);
        expect_malformed(btf.bytes(), "kind " + std::to_string(unknown));
    }
}

TEST(KernelTypes, CountsArgumentsOfTheFunctionsAskedFor)
{
    Btf btf;
    const uint32_t two = btf.add_prototype(2);
    const uint32_t after = btf.add("after_its_prototype", kFunc, two);
    const uint32_t before = btf.add("before_its_prototype", kFunc, 4);
    ASSERT_EQ(btf.add_prototype(4), 4U);
    btf.add("before_its_prototype", kFunc, two);  // static functions may share a name: the first counts
    btf.add("not_asked_for", kFunc, two);
    btf.add("not_asked_for_and_dangling", kFunc, 99);
    btf.add("only_a_typedef", kTypedef, two);
    const KernelTypes types =
        types_of(btf.bytes(), {"after_its_prototype", "before_its_prototype", "only_a_typedef", "missing"});
    EXPECT_EQ(types.function_args,
              (std::map<std::string, int>{{"after_its_prototype", 2}, {"before_its_prototype", 4}}));
    EXPECT_EQ(types.ids, (Ids{{"after_its_prototype", after}, {"before_its_prototype", before}}));
}

TEST(KernelTypes, RefusesAFunctionWithoutAPrototype)
{
    for (const uint32_t prototype : {0U, 1U, 2U, 4U, UINT32_MAX}) {  // none, itself, an integer, beyond the last
        Btf btf;
        btf.add("f", kFunc, prototype);
        btf.add(kInt, 0, 0, 0, 4);
        btf.add_prototype(1);
        expect_malformed(btf.bytes(), "prototype " + std::to_string(prototype));
    }
}

TEST(KernelTypes, TruncatedDataIsAnError)
{
    Btf btf = with_every_kind();
    btf.add("f", kFunc, btf.add_prototype(2));
    const std::vector<char> whole = btf.bytes();
    for (size_t size = 0; size < whole.size(); ++size) {
        const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        expect_malformed(cut, "cut to " + std::to_string(size));
    }
}

TEST(KernelTypes, TypesMayEndOnlyWhereATypeEnds)
{
    const Btf whole = with_every_kind();
    for (size_t size = 1; size <= whole.types.size(); ++size) {
        Btf cut = whole;
        cut.types.resize(size);
        const bool at_an_end = std::find(whole.ends.begin(), whole.ends.end(), size) != whole.ends.end();
        EXPECT_EQ(static_cast<bool>(find_in(cut.bytes(), {})), at_an_end) << size;
    }
}

TEST(KernelTypes, ADamagedByteDoesNoHarm)
{
    Btf btf;
    btf.add("f", kFunc, btf.add_prototype(2));
    btf.add("btf_trace_x", kTypedef, 1);
    const std::vector<char> whole = btf.bytes();
    for (size_t at = 0; at < whole.size(); ++at) {
        for (int value = 0; value < 256; ++value) {
            std::vector<char> damaged = whole;
            damaged[at] = static_cast<char>(value);
            const Result<KernelTypes> types = find_in(damaged, {"f"});
            for (const auto& [name, id] : types ? types->ids : Ids()) {
                EXPECT_LE(id, damaged.size() / kTypeBytes) << name << ", byte " << at << " is " << value;
            }
        }
    }
}

TEST(KernelTypes, NamesMustLieInTheStrings)
{
    const auto with_name_at = [](uint32_t offset) {
        Btf btf;
        btf.add_name("btf_trace_x");  // at 1 to 12, its NUL included
        btf.add(kTypedef, offset);
        return btf.bytes();
    };
    EXPECT_TRUE(types_of(with_name_at(1)).tracepoints.contains("x"));
    EXPECT_TRUE(types_of(with_name_at(12)).tracepoints.empty());
    for (const uint32_t offset : {13U, 14U, 0x7fffffffU, UINT32_MAX}) {
        expect_malformed(with_name_at(offset), "name at " + std::to_string(offset));
    }
}

TEST(KernelTypes, TheStringsMustEnd)
{
    Btf btf;
    btf.add("btf_trace_x", kTypedef, 1);
    btf.strings.pop_back();
    expect_malformed(btf.bytes(), "no NUL at the end");
    btf.strings.clear();
    expect_malformed(btf.bytes(), "no strings");
}

TEST(KernelTypes, TheHeaderSaysWhereTheSectionsAre)
{
    Btf btf;
    btf.add("btf_trace_x", kTypedef, 1);
    std::vector<char> longer = btf.bytes();
    const uint32_t longer_header = kHeaderBytes + 8;  // fields that a later kernel may add
    longer.insert(longer.begin() + kHeaderBytes, 8, '\x55');
    std::memcpy(longer.data() + 4, &longer_header, sizeof(longer_header));
    EXPECT_TRUE(types_of(longer).tracepoints.contains("x"));
    for (const size_t field : {0, 4, 8, 12, 16, 20}) {  // magic, hdr_len, type_off, type_len, str_off, str_len
        for (const uint32_t value : {UINT32_MAX, UINT32_MAX - kHeaderBytes + 1, 1000U}) {
            std::vector<char> wrong = btf.bytes();
            std::memcpy(wrong.data() + field, &value, sizeof(value));
            expect_malformed(wrong, "field at " + std::to_string(field) + " is " + std::to_string(value));
        }
    }
}

TEST(KernelTypes, AgreesWithLibbpfOnThisKernel)
{
    constexpr const char* kFile = "/sys/kernel/btf/vmlinux";
    std::ifstream file(kFile, std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (bytes.empty()) {
        GTEST_SKIP() << "needs a readable " << kFile;
    }
    const BtfPtr btf(btf__load_vmlinux_btf());
    ASSERT_TRUE(btf);
    const KernelTypes types = types_of(bytes, {"inet_csk_accept", "schedule"});
    const int sched_switch = btf__find_by_name_kind(btf.get(), "btf_trace_sched_switch", BTF_KIND_TYPEDEF);
    EXPECT_EQ(types.ids.at("btf_trace_sched_switch"), static_cast<uint32_t>(sched_switch));
    for (const char* function : {"inet_csk_accept", "schedule"}) {
        const int id = btf__find_by_name_kind(btf.get(), function, BTF_KIND_FUNC);
        ASSERT_EQ(types.function_args.contains(function), id > 0) << function;
        if (id > 0) {
            const btf_type* prototype = btf__type_by_id(btf.get(), btf__type_by_id(btf.get(), id)->type);
            EXPECT_EQ(types.ids.at(function), static_cast<uint32_t>(id)) << function;
            EXPECT_EQ(types.function_args.at(function), btf_vlen(prototype)) << function;
        }
    }
}

}  // namespace
}  // namespace sonde
