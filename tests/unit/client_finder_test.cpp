// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/client_finder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/go_bytes.h"

namespace sonde {
namespace {

constexpr uint64_t kProgramCode = 0x400800;  // within the room for headers, so that code and tables are one segment

// Processes in a /proc of our own, whose programs are files made here.
class FindClients : public testing::Test {
  protected:
    FindClients() { std::filesystem::create_directories(root_); }
    ~FindClients() override { std::filesystem::remove_all(root_); }

    void write(const std::string& path, const std::string& text) const
    {
        std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
        std::ofstream(root_ + path, std::ios::binary) << text;
    }
    ProcessInfo add(pid_t pid, const std::string& program, const std::string& bytes,
                    const std::string& command = "program", const std::vector<std::string>& threads = {})
    {
        const std::string folder = "/proc/" + std::to_string(pid);
        if (!bytes.empty()) {
            write(program, bytes);
        }
        write(folder + "/comm", "name\n");
        write(folder + "/stat", std::to_string(pid) + " (na) me) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n");
        write(folder + "/cmdline", command);
        write(folder + "/cgroup", "0::/system.slice/node.service\n");
        write(folder + "/status", "Name:\tname\nSeccomp:\t0\n");
        std::filesystem::create_symlink(root_ + program, root_ + folder + "/exe");
        for (size_t i = 0; i < threads.size(); ++i) {
            write(folder + "/task/" + std::to_string(pid + static_cast<pid_t>(i)) + "/comm", threads[i] + "\n");
        }
        const Result<ProcessInfo> process = read_process(fs_, pid);
        EXPECT_TRUE(process);
        return *process;
    }
    static std::string go_program(const std::string& modules)
    {
        test::Elf elf;
        elf.add(".go.buildinfo", test::go_build_info("go1.26.4", modules));
        return elf.bytes();
    }
    static std::string modules(const std::string& main, const std::string& dependency)
    {
        return "0123456789abcdefpath\t" + main + "/cmd/node\nmod\t" + main + "\tv1.2.3\th1:sum=\ndep\t" + dependency +
               "\tv0.1.0\th1:x=\n0123456789abcdef";
    }
    std::string identified(const ProcessInfo& process)
    {
        const CatalogClient* client = finder_.identify(process);
        return client == nullptr ? "" : client->client;
    }

    std::string root_ = testing::TempDir() + "/sonde-clients-" + std::to_string(::getpid());
    RootedFs fs_{root_};
    std::vector<std::string> problems_;
    Catalog catalog_ = Catalog::load("/nonexistent", problems_);
    ClientFinder finder_{catalog_, fs_};
};

TEST_F(FindClients, GoProgramsByWhatTheyWereBuiltFrom)
{
    const std::string geth = "github.com/ethereum/go-ethereum";
    EXPECT_EQ(identified(add(10, "/bin/another-name", go_program(modules(geth, "example.com/x")))), "geth");
    EXPECT_EQ(identified(add(11, "/bin/geth", go_program(modules("example.com/other", "example.com/x")))), "geth")
        << "a name alone is enough";
    EXPECT_EQ(identified(add(12, "/bin/mev", go_program(modules("github.com/flashbots/mev-boost", "example.com/x")))),
              "mev-boost");
    EXPECT_EQ(identified(add(13, "/bin/program", go_program(modules("example.com/other", "example.com/x")))), "");
}

TEST_F(FindClients, WhatWasBuiltInSaysMoreThanAName)
{
    const std::string boost = "github.com/flashbots/mev-boost";
    EXPECT_EQ(identified(add(10, "/bin/geth", go_program(modules(boost, "example.com/x")))), "mev-boost");
}

TEST_F(FindClients, OthersByNameSymbolThreadOrCommand)
{
    test::Elf server;
    server.add_symbols({{"PostmasterMain", kProgramCode, 64}});
    test::Elf plain;
    plain.add_symbols({{"main", kProgramCode, 64}});
    EXPECT_EQ(identified(add(10, "/opt/db", server.bytes())), "postgresql");
    EXPECT_EQ(identified(add(11, "/opt/redis-server", plain.bytes())), "redis");
    EXPECT_EQ(identified(add(12, "/opt/reth-binary", plain.bytes())), "reth") << "wrappers' suffix";
    EXPECT_EQ(identified(add(13, "/opt/node", plain.bytes())), "");
    EXPECT_EQ(identified(add(14, "/usr/bin/grep", plain.bytes(), std::string("grep\0besu", 9))), "");
}

TEST_F(FindClients, TheSitesOfItsCalls)
{
    // entry, and one return
    const std::string code("\x55\x48\x89\xe5\x5d\xc3", 6);
    test::Elf elf;
    elf.add_symbols({{"PostmasterMain", kProgramCode, 64}, {"XLogFlush", kProgramCode + 64, code.size()}});
    std::string bytes = elf.bytes();
    test::put(bytes, 0x800 + 64, code);
    const ProcessInfo process = add(10, "/opt/db", bytes);
    const CatalogClient* client = finder_.identify(process);
    ASSERT_NE(client, nullptr);
    const FoundClient found = finder_.examine(process, *client);
    EXPECT_EQ(found.problems, std::vector<std::string>{});
    const std::vector<ClientTarget> targets = targets_of(found, {}, fs_);
    ASSERT_EQ(targets.size(), 1U);
    EXPECT_EQ(targets[0].client, "postgresql");
    EXPECT_EQ(targets[0].process, "name");
    EXPECT_FALSE(targets[0].seccomp);
    ASSERT_EQ(targets[0].calls.size(), 1U);
    ASSERT_EQ(targets[0].calls[0].copies.size(), 1U);
    EXPECT_EQ(targets[0].calls[0].copies[0].begin, 0x800U + 64);
    EXPECT_EQ(targets[0].calls[0].copies[0].ends, std::vector<uint64_t>{0x800U + 64 + 5});
    EXPECT_FALSE(targets[0].calls[0].copies[0].stepped);
    EXPECT_TRUE(targets_of(found, {.calls = {"no_such_call"}}, fs_).empty());
}

TEST_F(FindClients, AFileThatCannotBeReadIsSaid)
{
    const ProcessInfo process = add(10, "/opt/redis-server", "not a program");
    const CatalogClient* client = finder_.identify(process);
    ASSERT_NE(client, nullptr);
    const FoundClient found = finder_.examine(process, *client);
    ASSERT_EQ(found.problems.size(), 1U);
    EXPECT_TRUE(found.problems[0].ends_with("not an ELF file")) << found.problems[0];
    EXPECT_TRUE(targets_of(found, {}, fs_).empty());
}

}  // namespace
}  // namespace sonde
