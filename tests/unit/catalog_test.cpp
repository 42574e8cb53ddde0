// SPDX-License-Identifier: Apache-2.0
#include "userspace/catalog/catalog.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "userspace/catalog/embedded.h"

namespace sonde {
namespace {

constexpr const char* kGood =
    "client: mynode\n"
    "title: my node\n"
    "kind: execution\n"
    "runtime: go\n"
    "detect:\n"
    "  - go_main: example.com/mynode\n"
    "    executable: mynode\n"
    "  - executable: mynode\n"
    "calls:\n"
    "  - call: block\n"
    "    question: a block\n"
    "    functions: [example.com/mynode/core.(*Chain).Insert]\n"
    "    rate: cold\n"
    "    counts: blocks\n"
    "  - call: root\n"
    "    question: state root\n"
    "    functions: example.com/mynode/core.root\n"
    "    rate: hot\n"
    "    within: block\n"
    "  - call: query\n"
    "    question: a query\n"
    "    usdt: {begin: 'p:start', end: ['p:done', 'p:abort']}\n"
    "    rate: warm\n";

std::string with(const std::string& old, const std::string& replacement)
{
    std::string text = kGood;
    const size_t at = text.find(old);
    EXPECT_NE(at, std::string::npos) << old;
    return text.replace(at, old.size(), replacement);
}

CatalogClient good()
{
    return *parse_client(kGood, "good.yaml");
}

class CatalogFolder : public ::testing::Test {
  protected:
    CatalogFolder() { std::filesystem::create_directories(folder_); }
    ~CatalogFolder() override { std::filesystem::remove_all(folder_); }
    void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ + "/" + name) << text; }

    std::string folder_ = ::testing::TempDir() + "/sonde-catalog-" + std::to_string(::getpid());
};

TEST(CatalogFile, SaysWhatItHolds)
{
    const CatalogClient client = good();
    EXPECT_EQ(client.client, "mynode");
    ASSERT_EQ(client.detect.size(), 2U);
    EXPECT_GT(client.detect[0].weight(), client.detect[1].weight());
    ASSERT_EQ(client.calls.size(), 3U);
    EXPECT_EQ(client.calls[0].functions, std::vector<std::string>{"example.com/mynode/core.(*Chain).Insert"});
    EXPECT_EQ(client.calls[0].counts, "blocks");
    EXPECT_EQ(client.calls[1].rate, CallRate::kHot);
    EXPECT_EQ(client.calls[1].within, "block");
    EXPECT_EQ(client.calls[2].usdt_begin, "p:start");
    EXPECT_EQ(client.calls[2].usdt_ends, (std::vector<std::string>{"p:done", "p:abort"}));
}

TEST(CatalogFile, SaysInWhichLineItIsWrong)
{
    const std::vector<std::pair<std::string, std::string>> cases{
        {with("title:", "titel:"), "f:2: there is no key 'titel'"},
        {with("title: my node", "client: again"), "f:2: there are two keys 'client'"},
        {with("client: mynode", "client: My_Node"), "f:1: 'My_Node' may have a-z, 0-9 and '-' only"},
        {with("kind: execution", "kind: coffee"),
         "f:3: 'coffee' is none of execution, consensus, builder, rollup, database, library"},
        {with("rate: hot", "rate: often"), "f:18: 'often' is none of cold, warm, hot"},
        {with("    functions: example.com/mynode/core.root\n", ""),
         "f:15: root needs either 'functions' or 'usdt' with 'begin' and 'end'"},
        {with("kind: execution", "kind: library"), "f:1: a library is found in its users: 'detect' is for others"},
        {with("question: a block", "question: " + std::string(61, 'x')), "f:11: a question of more than 60 characters"},
        {with("detect:\n", "detect: []\nuses:\n"), "f:7: a text is expected here"},
        {with("kind: execution", "kind: database").substr(0, with("kind: execution", "kind: database").find("detect")),
         "f:1: 'detect' says how its processes are recognised"},
        {with("- executable: mynode", "- {}"), "f:8: a rule that every process would fit"},
        {with("title: my node", "title: [a"), "f:"},
        {"", "f: a mapping (key: value) is expected here"},
        {"- x", "f:1: a mapping (key: value) is expected here"},
        {std::string(100'000, '['), "f:"},
    };
    for (const auto& [text, what] : cases) {
        const Result<CatalogClient> client = parse_client(text, "f");
        ASSERT_FALSE(client) << text;
        EXPECT_EQ(client.error().what.substr(0, what.size()), what);
        EXPECT_EQ(client.error().what.find('\n'), std::string::npos);
    }
}

TEST(Catalog, RefusesWhatDoesNotFitTogether)
{
    const auto what = [](const std::string& text) {
        const Result<Catalog> catalog = Catalog::of({*parse_client(text, "f")});
        return catalog ? std::string("no error") : catalog.error().what;
    };
    EXPECT_EQ(what(kGood), "no error");
    EXPECT_EQ(what(with("within: block", "within: blok")), "f: root is within blok, which is no call");
    EXPECT_EQ(what(with("counts: blocks", "within: root")), "f: block is within itself");
    EXPECT_EQ(what(with("call: root", "call: block")), "f: two calls are named block");
    EXPECT_EQ(what(with("core.root", "core.(*Chain).Insert")),
              "f: two calls have the function example.com/mynode/core.(*Chain).Insert");
    EXPECT_EQ(what(with("calls:", "uses: [nothing]\ncalls:")), "f: it uses nothing, which is no library");
    EXPECT_EQ(what(with("calls:", "like: nobody\ncalls:")), "f: it is like nobody, which is no client");
}

TEST(Catalog, OneClientMayBeLikeAnother)
{
    CatalogClient other = good();
    other.client = "fork";
    other.like = "mynode";
    other.calls.erase(other.calls.begin() + 1, other.calls.end());
    other.calls[0].question = "another block";
    const Result<Catalog> catalog = Catalog::of({good(), other});
    ASSERT_TRUE(catalog) << catalog.error().what;
    const CatalogClient* fork = catalog->find("fork");
    ASSERT_NE(fork, nullptr);
    ASSERT_EQ(fork->calls.size(), 3U);
    EXPECT_EQ(fork->calls.back().question, "another block");
    EXPECT_EQ(catalog->find("for"), nullptr);
    EXPECT_EQ(catalog->find(""), nullptr);
}

TEST(Catalog, WhatIsBuiltInIsWithoutProblems)
{
    std::vector<std::string> problems;
    const Catalog catalog = Catalog::load("/nonexistent", problems);
    EXPECT_EQ(problems, std::vector<std::string>{});
    EXPECT_EQ(catalog.clients().size(), embedded_clients().size());
    for (const char* name : {"geth",  "bsc",        "bor",   "erigon",    "nitro",
                             "reth",  "lighthouse", "prysm", "mev-boost", "mev-boost-relay",
                             "anvil", "postgresql", "redis", "leveldb",   "pebble",
                             "mdbx",  "rocksdb",    "besu",  "teku",      "nethermind"}) {
        EXPECT_NE(catalog.find(name), nullptr) << name;
    }
    for (const CatalogClient& client : catalog.clients()) {
        EXPECT_EQ(client.file, client.client + ".yaml");
    }
}

TEST_F(CatalogFolder, AFileReplacesWhatIsBuiltIn)
{
    write("a.yaml", with("client: mynode", "client: geth"));
    write("ignored.txt", "not looked at");
    std::vector<std::string> problems;
    const Catalog catalog = Catalog::load(folder_, problems);
    EXPECT_EQ(problems.size(), 0U);
    ASSERT_NE(catalog.find("geth"), nullptr);
    EXPECT_EQ(catalog.find("geth")->title, "my node");
    EXPECT_EQ(catalog.find("geth")->file, folder_ + "/a.yaml");
}

TEST_F(CatalogFolder, AFileThatIsWrongCostsNothingElse)
{
    write("a.yaml", with("client: mynode", "client: needs-b\nlike: later"));
    write("b.yaml", with("client: mynode", "client: later"));
    write("c.yaml", with("rate: hot", "rate: often"));
    write("d.yaml", with("calls:", "uses: [nothing]\ncalls:"));
    std::vector<std::string> problems;
    const Catalog catalog = Catalog::load(folder_, problems);
    ASSERT_EQ(problems.size(), 2U);
    EXPECT_EQ(problems[0], folder_ + "/c.yaml:18: 'often' is none of cold, warm, hot");
    EXPECT_EQ(problems[1], folder_ + "/d.yaml: it uses nothing, which is no library");
    EXPECT_NE(catalog.find("needs-b"), nullptr);
    EXPECT_NE(catalog.find("later"), nullptr);
    EXPECT_NE(catalog.find("geth"), nullptr);
    EXPECT_EQ(catalog.find("mynode"), nullptr);
}

}  // namespace
}  // namespace sonde
