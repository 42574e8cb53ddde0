// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/rooted_fs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

namespace sonde {
namespace {

// A folder of its own for every test, removed at its end.
class RootedFsTest : public testing::Test {
  protected:
    void SetUp() override
    {
        std::string pattern = testing::TempDir() + "/sonde_rooted_fs_XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        root_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(root_); }

    void write(const std::string& path, const std::string& text)
    {
        std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
        std::ofstream(root_ + path, std::ios::binary) << text;
    }

    std::string root_;
};

TEST_F(RootedFsTest, ReadsAFileBelowTheRoot)
{
    write("/proc/loadavg", "0.1 0.2 0.3\nmore\n");
    write("/proc/empty", "");
    const RootedFs fs(root_);
    EXPECT_EQ(*fs.read("/proc/loadavg"), "0.1 0.2 0.3\nmore\n");
    EXPECT_EQ(*fs.read_line("/proc/loadavg"), "0.1 0.2 0.3");
    EXPECT_EQ(*fs.read("/proc/empty"), "");
    EXPECT_EQ(*fs.read_line("/proc/empty"), "");
}

TEST_F(RootedFsTest, KeepsBytesAsTheyAre)
{
    const std::string bytes("a\0b\xff\n", 5);
    write("/x", bytes);
    EXPECT_EQ(*RootedFs(root_).read("/x"), bytes);
}

TEST_F(RootedFsTest, SlashesAtTheEndOfTheRootDoNotMatter)
{
    write("/x", "1");
    EXPECT_EQ(RootedFs(root_ + "///").resolve("/x"), root_ + "/x");
    EXPECT_EQ(RootedFs("/").resolve("/proc/stat"), "/proc/stat");
    EXPECT_EQ(RootedFs().resolve("/proc/stat"), "/proc/stat");
}

TEST_F(RootedFsTest, ReadsFilesOfProcWhoseSizeIsNotKnown)
{
    const Result<std::string> line = RootedFs().read_line("/proc/self/comm");
    ASSERT_TRUE(line) << line.error().what;
    EXPECT_FALSE(line->empty());
}

TEST_F(RootedFsTest, StopsReadingAtItsLimit)
{
    write("/big", std::string(RootedFs::kMaxBytes + 100000, 'x'));
    EXPECT_EQ(RootedFs(root_).read("/big")->size(), RootedFs::kMaxBytes);
}

TEST_F(RootedFsTest, NamesTheFileThatIsMissing)
{
    const RootedFs fs(root_);
    const Result<std::string> text = fs.read("/proc/none");
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, ENOENT);
    EXPECT_NE(text.error().what.find(root_ + "/proc/none"), std::string::npos);
    EXPECT_FALSE(fs.read_line("/proc/none"));
    EXPECT_FALSE(fs.read_number("/proc/none"));
    EXPECT_EQ(fs.list("/proc/none").error().code, ENOENT);
    EXPECT_EQ(fs.read_link("/proc/none").error().code, ENOENT);
}

TEST_F(RootedFsTest, ADirectoryIsNotAFile)
{
    write("/dir/x", "1");
    const Result<std::string> text = RootedFs(root_).read("/dir");
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, EISDIR);
}

TEST_F(RootedFsTest, ReadsNumbers)
{
    write("/n", "4096\n");
    write("/max", "18446744073709551615");
    const RootedFs fs(root_);
    EXPECT_EQ(*fs.read_number("/n"), 4096U);
    EXPECT_EQ(*fs.read_number("/max"), UINT64_MAX);
}

TEST_F(RootedFsTest, RefusesWhatIsNotANumber)
{
    for (const char* text : {"", "max\n", "-1\n", "12 kB\n", " 7\n", "18446744073709551616\n", "1.5"}) {
        write("/n", text);
        const Result<unsigned long long> number = RootedFs(root_).read_number("/n");
        ASSERT_FALSE(number) << "'" << text << "'";
        EXPECT_NE(number.error().what.find("/n"), std::string::npos);
    }
}

TEST_F(RootedFsTest, ListsNamesWithoutDots)
{
    write("/sys/block/sda/size", "1");
    write("/sys/block/nvme0n1/size", "1");
    Result<std::vector<std::string>> names = RootedFs(root_).list("/sys/block");
    ASSERT_TRUE(names);
    std::sort(names->begin(), names->end());
    EXPECT_EQ(*names, (std::vector<std::string>{"nvme0n1", "sda"}));
}

TEST_F(RootedFsTest, ReadsLinksAndTellsWhatExists)
{
    write("/exe", "");
    std::filesystem::create_symlink("/usr/bin/geth (deleted)", root_ + "/link");
    const RootedFs fs(root_);
    EXPECT_EQ(*fs.read_link("/link"), "/usr/bin/geth (deleted)");
    EXPECT_EQ(fs.read_link("/exe").error().code, EINVAL);
    EXPECT_TRUE(fs.exists("/exe"));
    EXPECT_FALSE(fs.exists("/other"));
}

TEST(Error, CarriesContextFromLayerToLayer)
{
    const Error error = Error::from_errno(ENOENT, "open /x").with("read device names");
    EXPECT_EQ(error.code, ENOENT);
    EXPECT_EQ(error.what, "read device names: open /x: No such file or directory");
}

}  // namespace
}  // namespace sonde
