// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/btf_file.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "tests/unit/btf_bytes.h"
#include "userspace/probes/features.h"
#include "userspace/probes/raw_btf.h"

namespace sonde {
namespace {

using test::Btf;
using test::kStruct;
using test::kTypedef;

class BtfFile : public testing::Test {
  protected:
    void SetUp() override
    {
        std::string pattern = testing::TempDir() + "/sonde_btf_XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    [[nodiscard]] std::string write(const std::vector<char>& bytes) const
    {
        const std::string path = folder_ + "/file";
        std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        return path;
    }

    std::string folder_;
};

TEST_F(BtfFile, ReadsRawBytesAsTheyAre)
{
    Btf btf;
    btf.add_with("s", kStruct, 0, 8, {});
    const Result<std::vector<char>> bytes = read_btf_file(write(btf.bytes()));
    ASSERT_TRUE(bytes) << bytes.error().what;
    EXPECT_EQ(*bytes, btf.bytes());
}

TEST_F(BtfFile, RefusesWhatIsNoFileOfTypes)
{
    const auto what = [](const std::string& path) {
        const Result<std::vector<char>> bytes = read_btf_file(path);
        return bytes ? std::string("read") : bytes.error().what;
    };
    EXPECT_EQ(what(folder_ + "/none"), folder_ + "/none: No such file or directory");
    EXPECT_EQ(what(folder_), folder_ + ": not a regular file");
    EXPECT_EQ(what("/dev/zero"), "/dev/zero: not a regular file");
    const std::string fifo = folder_ + "/fifo";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    EXPECT_EQ(what(fifo), fifo + ": not a regular file");  // and not waiting for somebody to write into it
    const std::string text = write({'t', 'e', 'x', 't'});
    EXPECT_TRUE(what(text).starts_with(text + ": ")) << what(text);
}

TEST_F(BtfFile, FindsTheTypesInAnElfFile)
{
    const Result<std::vector<char>> bytes = read_btf_file(SONDE_BPF_OBJECT);
    ASSERT_TRUE(bytes) << bytes.error().what;
    const Result<RawBtf> btf = RawBtf::open(*bytes);
    ASSERT_TRUE(btf) << btf.error().what;
    EXPECT_GT(btf->count(), 100U);
}

TEST_F(BtfFile, SaysWhatAnElfFileLacks)
{
    const std::string self = "/proc/self/exe";
    const Result<std::vector<char>> bytes = read_btf_file(self);
    ASSERT_FALSE(bytes);
    EXPECT_EQ(bytes.error().what, self + ": an ELF file without a section .BTF");
}

TEST_F(BtfFile, ASectionWithoutBytesIsAnError)
{
    std::ifstream object(SONDE_BPF_OBJECT, std::ios::binary);
    std::vector<char> bytes{std::istreambuf_iterator<char>(object), {}};
    auto* file = reinterpret_cast<Elf64_Ehdr*>(bytes.data());
    auto* sections = reinterpret_cast<Elf64_Shdr*>(bytes.data() + file->e_shoff);
    const char* names = bytes.data() + sections[file->e_shstrndx].sh_offset;
    int found = 0;
    for (int i = 0; i < file->e_shnum; ++i) {
        if (std::string_view(names + sections[i].sh_name) == ".BTF") {
            sections[i].sh_type = SHT_NOBITS;  // has a size, and nothing in the file; libbpf reads address 0
            ++found;
        }
    }
    ASSERT_EQ(found, 1);
    const std::string path = write(bytes);
    const Result<std::vector<char>> read = read_btf_file(path);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().what, path + ": its section .BTF cannot be read");
}

TEST_F(BtfFile, RefusesAFileThatNeverEnds)
{
    const std::string path = write(Btf().bytes());
    std::filesystem::resize_file(path, uint64_t{1} << 40);  // nearly all of it a hole
    const Result<std::vector<char>> bytes = read_btf_file(path);
    ASSERT_FALSE(bytes);
    EXPECT_EQ(bytes.error().code, EFBIG);
}

// libbpf crashes at the first, and at the second goes round for ever.
TEST_F(BtfFile, TypesThatLeadNowhereOrBackAreAnErrorBeforeAnythingIsLoaded)
{
    Btf nowhere;
    nowhere.add_with("task_struct", kStruct, 1, 64, {nowhere.add_name("pid"), 999, 0});
    Btf back;
    back.add_with("task_struct", kStruct, 1, 64, {back.add_name("pid"), 2, 0});
    back.add("a", kTypedef, 3);
    back.add("b", kTypedef, 2);
    for (const Btf& btf : {nowhere, back}) {
        const std::string path = write(btf.bytes());
        const Result<KernelFeatures> features = KernelFeatures::probe(path);
        ASSERT_FALSE(features);
        EXPECT_EQ(features.error().code, EINVAL);
        EXPECT_EQ(features.error().what, path + ": copy type task_struct of the kernel's BTF");
    }
}

TEST_F(BtfFile, AFileWithoutAnyTypeOfTheKernelIsAnError)
{
    Btf btf;
    btf.add_with("mine", kStruct, 0, 8, {});
    const std::string path = write(btf.bytes());
    const Result<KernelFeatures> features = KernelFeatures::probe(path);
    ASSERT_FALSE(features);
    EXPECT_EQ(features.error().what, path + ": none of the types asked for is in the BTF");
}

}  // namespace
}  // namespace sonde
