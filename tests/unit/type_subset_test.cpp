// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/type_subset.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <map>

#include "tests/unit/btf_bytes.h"
#include "userspace/probes/libbpf_ptr.h"
#include "userspace/probes/object.h"

namespace sonde {
namespace {

using test::Btf;
using test::kArray;
using test::kConst;
using test::kEnum;
using test::kEnum64;
using test::kFloat;
using test::kFwd;
using test::kInt;
using test::kKindFlag;
using test::kPtr;
using test::kStruct;
using test::kTypedef;

constexpr uint32_t kIntOf4Bytes = 32;  // the record behind an unsigned integer of 32 bits

BtfPtr parse(const std::vector<char>& bytes)
{
    return BtfPtr(btf__new(bytes.data(), static_cast<uint32_t>(bytes.size())));
}

Result<std::vector<char>> subset_of(const std::vector<char>& bytes, const TypeNames& names)
{
    const Result<RawBtf> btf = RawBtf::open(bytes);
    return btf ? type_subset(*btf, names) : Result<std::vector<char>>(btf.error());
}

// All that a relocation can ask of a type: where each field is, down to what is no struct any more.
void collect(const btf* types, uint32_t id, const std::string& path, uint64_t bits,
             std::map<std::string, uint64_t>& into)
{
    const btf_type* type = btf__type_by_id(types, static_cast<uint32_t>(btf__resolve_type(types, id)));
    into[path + " kind"] = btf_kind(type);
    into[path + " at"] = bits;
    if (btf_is_array(type)) {
        into[path + " elements"] = btf_array(type)->nelems;
        collect(types, btf_array(type)->type, path + "[]", bits, into);
    } else if (!btf_is_ptr(type)) {
        into[path + " size"] = type->size;
    }
    if (btf_is_composite(type)) {
        for (uint32_t i = 0; i < btf_vlen(type); ++i) {
            const btf_member& member = btf_members(type)[i];
            const std::string field = path + "." + std::to_string(i) + btf__name_by_offset(types, member.name_off);
            into[field + " width"] = btf_member_bitfield_size(type, i);
            collect(types, member.type, field, bits + btf_member_bit_offset(type, i), into);
        }
    }
    for (uint32_t i = 0; btf_is_enum(type) && i < btf_vlen(type); ++i) {
        into[path + " = " + btf__name_by_offset(types, btf_enum(type)[i].name_off)] =
            static_cast<uint32_t>(btf_enum(type)[i].val);
    }
}

TEST(TypeSubset, SaysTheSameAsTheWholeOfThisKernel)
{
    constexpr const char* kFile = "/sys/kernel/btf/vmlinux";
    std::ifstream file(kFile, std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (bytes.empty()) {
        GTEST_SKIP() << "needs a readable " << kFile;
    }
    const TypeNames names = *core_type_names();
    const Result<std::vector<char>> copied = subset_of(bytes, names);
    ASSERT_TRUE(copied) << copied.error().what;
    EXPECT_LT(copied->size(), bytes.size() / 10);
    const BtfPtr subset = parse(*copied);
    const BtfPtr whole(btf__load_vmlinux_btf());
    ASSERT_TRUE(subset && whole);
    size_t compared = 0;
    for (uint32_t id = 1; id < btf__type_cnt(whole.get()); ++id) {
        const btf_type* type = btf__type_by_id(whole.get(), id);
        const std::string name = btf__name_by_offset(whole.get(), type->name_off);
        if ((!btf_is_composite(type) && !btf_is_any_enum(type)) || !names.contains(name)) {
            continue;
        }
        std::map<std::string, uint64_t> expected;
        collect(whole.get(), id, name, 0, expected);
        // Types may share a name: one of them must be this one.
        bool found = false;
        for (uint32_t other = 1; other < btf__type_cnt(subset.get()) && !found; ++other) {
            if (name == btf__name_by_offset(subset.get(), btf__type_by_id(subset.get(), other)->name_off)) {
                std::map<std::string, uint64_t> got;
                collect(subset.get(), other, name, 0, got);
                found = got == expected;
            }
        }
        EXPECT_TRUE(found) << name << ", type " << id;
        ++compared;
    }
    EXPECT_GT(compared, 50U);
    for (const char* needed : {"task_struct", "request", "tcp_sock", "cgroup"}) {
        EXPECT_GT(btf__find_by_name_kind(subset.get(), needed, BTF_KIND_STRUCT), 0) << needed;
    }
}

TEST(TypeSubset, NamesAreThoseOfTheObjectsWithoutVariants)
{
    const TypeNames names = *core_type_names();
    EXPECT_TRUE(names.contains("task_struct"));
    EXPECT_TRUE(names.contains("req_flag_bits"));
    EXPECT_FALSE(names.contains("task_struct___6_18"));
}

TEST(TypeSubset, HoldsWhatIsHeldByValueAndNoMore)
{
    Btf btf;
    const uint32_t number = btf.add_with("unsigned int", kInt, 0, 4, {kIntOf4Bytes});
    const uint32_t far = btf.add_with("far", kStruct, 0, 8, {});
    const uint32_t pointer = btf.add(kPtr, 0, 0, far);
    const uint32_t near = btf.add_with("near", kStruct, 1, 4, {btf.add_name("n"), number, 0});
    const uint32_t alias = btf.add("near_t", kTypedef, btf.add(kConst, 0, 0, near));
    const uint32_t three = btf.add_with("", kArray, 0, 0, {alias, number, 3});
    btf.add_with(
        "wanted", kStruct | kKindFlag, 3, 24,
        {btf.add_name("p"), pointer, 0, btf.add_name("a"), three, 64, btf.add_name("bits"), number, 5U << 24 | 160});
    const Result<std::vector<char>> copied = subset_of(btf.bytes(), {"wanted"});
    ASSERT_TRUE(copied) << copied.error().what;
    const BtfPtr subset = parse(*copied);
    ASSERT_TRUE(subset);
    EXPECT_LT(btf__find_by_name_kind(subset.get(), "far", BTF_KIND_STRUCT), 0);
    EXPECT_LT(btf__find_by_name_kind(subset.get(), "near_t", BTF_KIND_TYPEDEF), 0);
    const int id = btf__find_by_name_kind(subset.get(), "wanted", BTF_KIND_STRUCT);
    ASSERT_GT(id, 0);
    std::map<std::string, uint64_t> fields;
    collect(subset.get(), static_cast<uint32_t>(id), "", 0, fields);
    EXPECT_EQ(fields.at(".0p kind"), unsigned{BTF_KIND_PTR});
    EXPECT_EQ(fields.at(".1a elements"), 3U);
    EXPECT_EQ(fields.at(".1a[].0n at"), 64U);
    EXPECT_EQ(fields.at(".2bits at"), 160U);
    EXPECT_EQ(fields.at(".2bits width"), 5U);
}

TEST(TypeSubset, KeepsNegativeAndLargeValuesOfEnums)
{
    Btf btf;
    btf.add_with("e", kEnum | kKindFlag, 2, 4, {btf.add_name("minus"), UINT32_MAX, btf.add_name("one"), 1});
    btf.add_with("u", kEnum, 1, 4, {btf.add_name("large"), UINT32_MAX});
    const Result<std::vector<char>> copied = subset_of(btf.bytes(), {"e", "u"});
    ASSERT_TRUE(copied) << copied.error().what;
    const BtfPtr subset = parse(*copied);
    for (const auto& [name, is_signed] : std::map<const char*, bool>{{"e", true}, {"u", false}}) {
        const btf_type* type = btf__type_by_id(
            subset.get(), static_cast<uint32_t>(btf__find_by_name_kind(subset.get(), name, BTF_KIND_ENUM)));
        EXPECT_EQ(static_cast<uint32_t>(btf_enum(type)[0].val), UINT32_MAX) << name;
        EXPECT_EQ(btf_kflag(type), is_signed) << name;
    }
}

// Of no use so far, but a kernel may hold them in what is: they must not cost the whole subset.
TEST(TypeSubset, KeepsFloatsAndEnumsOf64Bits)
{
    Btf btf;
    const uint32_t real = btf.add_with("double", kFloat, 0, 8, {});
    const uint32_t wide = btf.add_with("wide", kEnum64, 1, 8, {btf.add_name("value"), 2, 1});
    btf.add_with("s", kStruct, 2, 16, {btf.add_name("f"), real, 0, btf.add_name("e"), wide, 64});
    const Result<std::vector<char>> copied = subset_of(btf.bytes(), {"s"});
    ASSERT_TRUE(copied) << copied.error().what;
    const BtfPtr subset = parse(*copied);
    EXPECT_GT(btf__find_by_name_kind(subset.get(), "double", BTF_KIND_FLOAT), 0);
    const int id = btf__find_by_name_kind(subset.get(), "wide", BTF_KIND_ENUM64);
    ASSERT_GT(id, 0);
    EXPECT_EQ(btf_enum64_value(btf_enum64(btf__type_by_id(subset.get(), static_cast<uint32_t>(id)))), 1ULL << 32 | 2);
}

TEST(TypeSubset, RefusesTypesThatCannotBe)
{
    const auto error_of = [](const Btf& btf) {
        const Result<std::vector<char>> copied = subset_of(btf.bytes(), {"s"});
        return copied ? 0 : copied.error().code;
    };
    Btf missing;
    missing.add_with("s", kStruct, 1, 4, {missing.add_name("m"), 99, 0});
    EXPECT_EQ(error_of(missing), EINVAL);

    Btf forward;
    forward.add_with("s", kStruct, 1, 4, {forward.add_name("m"), 2, 0});
    forward.add("unknown", kFwd, 0);
    EXPECT_EQ(error_of(forward), EINVAL);

    Btf itself;
    itself.add_with("s", kStruct, 1, 4, {itself.add_name("m"), 1, 0});
    EXPECT_EQ(error_of(itself), EINVAL);

    Btf deep;
    deep.add_with("s", kStruct, 1, 4, {deep.add_name("m"), 2, 0});
    for (uint32_t id = 2; id < 100000; ++id) {
        deep.add("t", kTypedef, id + 1);
    }
    EXPECT_EQ(error_of(deep), EINVAL);

    Btf doubling;  // 2^40 ways from the first to the last
    for (uint32_t id = 1; id <= 40; ++id) {
        doubling.add_with(id == 1 ? "s" : "", kStruct, 2, 4, {0, id + 1, 0, 0, id + 1, 0});
    }
    doubling.add_with("", kStruct, 0, 4, {});
    EXPECT_EQ(error_of(doubling), E2BIG);

    EXPECT_EQ(error_of(Btf()), EINVAL);  // no types at all
    Btf others;
    others.add_with("other", kStruct, 0, 4, {});
    EXPECT_EQ(error_of(others), ENOENT);

    Btf old_bit_field;
    old_bit_field.add_with("s", kStruct, 1, 4, {old_bit_field.add_name("m"), 2, 0});
    old_bit_field.add_with("unsigned int", kInt, 0, 4, {5});  // 5 bits of 4 bytes
    EXPECT_EQ(error_of(old_bit_field), ENOTSUP);
}

TEST(TypeSubset, ADamagedByteDoesNoHarm)
{
    Btf btf;
    const uint32_t number = btf.add_with("unsigned int", kInt, 0, 4, {kIntOf4Bytes});
    const uint32_t four = btf.add_with("", kArray, 0, 0, {number, number, 4});
    btf.add_with("s", kStruct, 2, 24, {btf.add_name("a"), four, 0, btf.add_name("p"), 4, 128});
    btf.add(kPtr, 0, 0, 3);
    btf.add_with("e", kEnum, 1, 4, {btf.add_name("one"), 1});
    const std::vector<char> whole = btf.bytes();
    ASSERT_TRUE(subset_of(whole, {"s", "e"}));
    for (size_t at = 0; at < whole.size(); ++at) {
        for (int value = 0; value < 256; ++value) {
            std::vector<char> damaged = whole;
            damaged[at] = static_cast<char>(value);
            const Result<std::vector<char>> copied = subset_of(damaged, {"s", "e"});
            EXPECT_TRUE(!copied || parse(*copied)) << "byte " << at << " is " << value;
        }
    }
}

}  // namespace
}  // namespace sonde
