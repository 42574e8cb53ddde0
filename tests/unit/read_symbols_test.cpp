// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <link.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/fixtures/traced.h"
#include "tests/unit/go_bytes.h"
#include "userspace/symbols/symbol_child.h"

// A function of this program, which is an ELF file like any other.
TRACED int sonde_test_landmark(int n)
{
    return n * 3 + 1;
}

namespace sonde {
namespace {

using test::Elf;
using test::go_module;
using test::go_table;
using test::GoFormat;
using test::raw;

constexpr uint64_t kBase = 0x400000;
constexpr uint64_t kCode = kBase + 0x800;  // within the room for headers, so that code and tables are one segment

class ReadSymbols : public testing::Test {
  protected:
    void SetUp() override
    {
        std::string pattern = testing::TempDir() + "/sonde_symbols_XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string write(const std::string& bytes) const
    {
        const std::string path = folder_ + "/file";
        std::ofstream(path, std::ios::binary) << bytes;
        return path;
    }
    [[nodiscard]] Result<SymbolReport> read(const std::string& bytes, std::vector<std::string> patterns = {}) const
    {
        SymbolRequest request;
        request.path = write(bytes);
        request.patterns = std::move(patterns);
        const Result<SymbolFiles> files = SymbolFiles::open(request);
        return files ? read_symbols(request, *files) : files.error();
    }
    [[nodiscard]] std::string error_of(const std::string& bytes) const
    {
        const Result<SymbolReport> report = read(bytes);
        return report ? "read" : report.error().what.substr(folder_.size() + 7);  // "/file: "
    }

    std::string folder_;
};

std::vector<std::string> names_of(const SymbolReport& report)
{
    std::vector<std::string> names;
    std::transform(report.functions.begin(), report.functions.end(), std::back_inserter(names),
                   [](const FunctionSymbol& f) { return f.name; });
    return names;
}

using NameList = std::vector<std::string>;

TEST_F(ReadSymbols, OfASymbolTable)
{
    Elf elf;
    elf.add_symbols({{"b", kCode + 64, 32}, {"a", kCode, 64}, {"nowhere", 0x10, 8}});
    const auto report = read(elf.bytes());
    ASSERT_TRUE(report) << report.error().what;
    EXPECT_EQ(names_of(*report), (NameList{"a", "b"}));
    EXPECT_EQ(report->functions[0].address, kCode);
    EXPECT_EQ(report->functions[0].offset, kCode - kBase);
    EXPECT_EQ(report->functions[0].size, 64U);
    EXPECT_EQ(report->functions_seen, 3U);
    EXPECT_TRUE(report->facts.has_symtab);
    EXPECT_FALSE(report->facts.has_dynsym);
    EXPECT_EQ(names_of(*read(elf.bytes(), {"b*"})), (NameList{"b"}));
}

TEST_F(ReadSymbols, OfThisProgram)
{
    SymbolRequest request;
    request.path = "/proc/self/exe";
    request.patterns = {"sonde_test_landmark"};
    request.with_sites = true;
    const auto report = read_symbols_in_child(request);
    ASSERT_TRUE(report) << report.error().what;
    ASSERT_EQ(report->functions.size(), 1U);
    uint64_t base = 0;
    ::dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* into) {
            *static_cast<uint64_t*>(into) = info->dlpi_addr;
            return 1;  // the program itself comes first
        },
        &base);
    EXPECT_EQ(report->functions[0].address + base, reinterpret_cast<uint64_t>(&sonde_test_landmark));
    ASSERT_TRUE(report->functions[0].sites) << report->functions[0].no_sites;
    EXPECT_FALSE(report->functions[0].sites->returns.empty());
    EXPECT_EQ(sonde_test_landmark(1), 4);
}

const std::vector<std::pair<std::string, uint64_t>> kGoFunctions{
    {"runtime.text", kCode}, {"main.(*T).f", kCode + 0x40}, {"main.main", kCode + 0x100}};
constexpr uint64_t kGoEnd = kCode + 0x180;

void expect_go_functions(const Result<SymbolReport>& report)
{
    ASSERT_TRUE(report) << report.error().what;
    EXPECT_EQ(report->problems, NameList{});
    EXPECT_EQ(names_of(*report), (NameList{"runtime.text", "main.(*T).f", "main.main"}));
    ASSERT_EQ(report->functions.size(), 3U);
    EXPECT_EQ(report->functions[1].address, kCode + 0x40);
    EXPECT_EQ(report->functions[1].size, 0xc0U);
    EXPECT_EQ(report->functions[2].size, 0x80U);
    EXPECT_EQ(report->functions[1].source, SymbolSource::kPclntab);
}

TEST_F(ReadSymbols, OfGoTablesOfAllFormats)
{
    for (const auto& [format, text] :
         {std::pair{GoFormat::k1_16, "1.16"}, std::pair{GoFormat::k1_18, "1.18"}, std::pair{GoFormat::k1_20, "1.20"}}) {
        Elf elf;
        elf.add(".gopclntab", go_table(format, kGoFunctions, kGoEnd, kCode, kCode));
        const auto report = read(elf.bytes());
        expect_go_functions(report);
        EXPECT_EQ(report->facts.go_table, text);
    }
}

TEST_F(ReadSymbols, OfAGoTableThatDoesNotSayWhereTheCodeBegins)
{
    Elf elf;
    const uint64_t table = elf.add(".gopclntab", go_table(GoFormat::k1_20, kGoFunctions, kGoEnd, kCode, 0));
    // Words that are equal to the table's address by chance, or by another use.
    elf.add(".noise", raw(table) + std::string(200, '\0'));
    elf.add(".data", go_module(table, kCode, kCode, kGoEnd));
    expect_go_functions(read(elf.bytes()));
    elf.without_sections();
    expect_go_functions(read(elf.bytes()));
}

TEST_F(ReadSymbols, TheRuntimesWordOnTheCodeBeatsTheTables)
{
    Elf elf;
    const uint64_t table = elf.add(".gopclntab", go_table(GoFormat::k1_20, kGoFunctions, kGoEnd, kCode, kCode - 0x100));
    elf.add(".data", go_module(table, kCode, kCode, kGoEnd));
    expect_go_functions(read(elf.bytes()));
}

TEST_F(ReadSymbols, OfAGoProgramThatIsLoadedAnywhere)
{
    // All words that hold addresses are zero in the file.
    for (const GoFormat format : {GoFormat::k1_16, GoFormat::k1_20}) {
        Elf elf(kBase, ET_DYN);
        const bool relative = format == GoFormat::k1_20;
        std::string bytes = go_table(format, kGoFunctions, kGoEnd, kCode, 0);
        std::vector<std::pair<uint64_t, uint64_t>> words;
        const uint64_t at = elf.next_address();
        if (!relative) {
            const size_t functions = bytes.size() - (3 * (8 + 4) + 7 * 8);  // records, table
            for (size_t i = 0; i <= kGoFunctions.size(); ++i) {
                words.emplace_back(at + functions + i * 16, i < kGoFunctions.size() ? kGoFunctions[i].second : kGoEnd);
                test::put(bytes, functions + i * 16, raw(uint64_t{0}));
            }
        }
        const uint64_t table = elf.add(".data.rel.ro.gopclntab", bytes);
        ASSERT_EQ(table, at);
        const uint64_t module = elf.add(".data", std::string(400, '\0'));
        words.insert(words.end(),
                     {{module, table}, {module + 160, kCode}, {module + 168, kGoEnd}, {module + 176, kCode}});
        elf.add_relocations(words);
        expect_go_functions(read(elf.bytes()));
        elf.without_sections();
        expect_go_functions(read(elf.bytes()));
    }
}

TEST_F(ReadSymbols, TheSectionOfTheCodeIsNotWhereGosCodeBegins)
{
    Elf elf;
    elf.add(".gopclntab", go_table(GoFormat::k1_20, kGoFunctions, kGoEnd, kCode, 0));
    elf.add(".text", std::string(0x1000, '\x90'));
    const auto report = read(elf.bytes());
    ASSERT_TRUE(report);
    EXPECT_EQ(report->problems, NameList{"where Go's code begins cannot be told"});
    EXPECT_EQ(names_of(*report), NameList{});
}

TEST_F(ReadSymbols, SaysWhichGoTablesItCannotRead)
{
    const auto problem = [this](const std::string& table) {
        Elf elf;
        elf.add(".gopclntab", table);
        const auto report = read(elf.bytes());
        return report && report->problems.size() == 1 ? report->problems[0] : "no problem";
    };
    EXPECT_EQ(problem(go_table(GoFormat::k1_2, kGoFunctions, kGoEnd, kCode, kCode)),
              "Go's function table has the format of Go 1.15 or older");
    EXPECT_EQ(problem("\xf7\xff\xff\xff"), "Go's function table has a format that is not known (Go 1.16 to 1.26 are)");
    EXPECT_EQ(problem(go_table(GoFormat::k1_20, kGoFunctions, kGoEnd, kCode, 0)),
              "where Go's code begins cannot be told");
    const std::string good = go_table(GoFormat::k1_20, kGoFunctions, kGoEnd, kCode, kCode);
    EXPECT_EQ(problem(good.substr(0, 72)), "Go's function table does not fit together");
}

TEST_F(ReadSymbols, OfGoBuildInformation)
{
    Elf elf;
    elf.add(".go.buildinfo", test::go_build_info("go1.26.4", test::kGoModules));
    for (int i = 0; i < 2; ++i) {
        const auto report = read(elf.bytes());
        ASSERT_TRUE(report && report->facts.go);
        const GoBuildInfo& go = *report->facts.go;
        EXPECT_EQ(go.go_version, "go1.26.4");
        EXPECT_EQ(go.path, "example.com/node/cmd/node");
        EXPECT_EQ(go.main.path + " " + go.main.version, "example.com/node v1.2.3");
        ASSERT_EQ(go.dependencies.size(), 1U);
        EXPECT_EQ(go.dependencies[0].path + " " + go.dependencies[0].version, "example.com/fork v0.2.0");
        EXPECT_EQ(go.settings.at("-ldflags"), "-s -w -X a=\"b\"");
        EXPECT_EQ(go.settings.at("a=b"), "c");
        elf.without_sections();
    }
}

TEST_F(ReadSymbols, OfGoBuildInformationBehindPointers)
{
    Elf elf;
    const uint64_t version = elf.add(".v", "go1.17.13");
    const uint64_t modules = elf.add(".m", test::kGoModules);
    const uint64_t strings =
        elf.add(".s", raw(version) + raw(uint64_t{9}) + raw(modules) + raw(uint64_t{std::strlen(test::kGoModules)}));
    std::string info("\xff Go buildinf:\x08\x00", 16);
    elf.add(".go.buildinfo", info + raw(strings) + raw(strings + 16));
    const auto report = read(elf.bytes());
    ASSERT_TRUE(report && report->facts.go);
    EXPECT_EQ(report->facts.go->go_version, "go1.17.13");
    EXPECT_EQ(report->facts.go->main.version, "v1.2.3");
}

TEST_F(ReadSymbols, OfStaticTracepoints)
{
    Elf elf;
    const uint64_t base = elf.add(".stapsdt.base", "b");
    const uint64_t semaphore = elf.add(".probes", std::string(2, '\0'));
    const auto note = [](uint64_t at, uint64_t old_base, uint64_t counter, const std::string& text) {
        std::string content = raw(at) + raw(old_base) + raw(counter) + text;
        std::string bytes = raw(uint32_t{8}) + raw(static_cast<uint32_t>(content.size())) + raw(uint32_t{3}) +
                            std::string("stapsdt\0", 8) + content;
        bytes.resize((bytes.size() + 3) / 4 * 4);
        return bytes;
    };
    const auto text = [](const char* provider, const char* name, const char* arguments) {
        return std::string(provider) + '\0' + name + '\0' + arguments + '\0';
    };
    elf.add(".note.stapsdt",
            note(kCode, base, 0, text("postgresql", "query__start", "8@%rdi")) +
                // Made before the linker moved everything up by 0x10.
                note(kCode, base - 0x10, semaphore - 0x10, text("postgresql", "query__done", "")) +
                note(kCode + 4, 0, 0, text("folly", "without_base", "")) +
                note(0x10, base, 0, text("postgresql", "nowhere", "")) + note(kCode, base, 0, "no end"),
            SHT_NOTE);
    const auto report = read(elf.bytes());
    ASSERT_TRUE(report);
    ASSERT_EQ(report->usdt.size(), 3U);
    EXPECT_EQ(report->usdt[2].offset, kCode - kBase + 4);
    EXPECT_EQ(report->usdt[0].name, "query__start");
    EXPECT_EQ(report->usdt[0].arguments, "8@%rdi");
    EXPECT_EQ(report->usdt[0].offset, kCode - kBase);
    EXPECT_EQ(report->usdt[0].semaphore_offset, 0U);
    EXPECT_EQ(report->usdt[1].offset, kCode - kBase + 0x10);
    EXPECT_EQ(report->usdt[1].semaphore_offset, semaphore - kBase);
    EXPECT_EQ(read(elf.bytes(), {"*:query__done"})->usdt.size(), 1U);
}

TEST_F(ReadSymbols, RefusesInOneLineWhatIsNoProgram)
{
    EXPECT_EQ(error_of(""), "not an ELF file");
    EXPECT_EQ(error_of("#!/bin/sh\n"), "not an ELF file");
    EXPECT_EQ(error_of("\177ELF"), "an ELF file that ends within its header");
    const std::string good = Elf().bytes();
    std::string other = good;
    other[EI_CLASS] = ELFCLASS32;
    EXPECT_EQ(error_of(other), "an ELF file, but not a 64-bit one in the byte order of this machine");
    other = good;
    test::put(other, offsetof(Elf64_Ehdr, e_phoff), raw(uint64_t{1} << 40));
    EXPECT_EQ(error_of(other), "read program headers: the file ends before what its headers promise");
    other = good;
    test::put(other, offsetof(Elf64_Ehdr, e_phnum), raw(uint16_t{0xfffe}));
    EXPECT_EQ(error_of(other), "an ELF file with 65534 segments");
    SymbolRequest request;
    request.path = folder_;
    EXPECT_EQ(SymbolFiles::open(request).error().what, folder_ + ": not a regular file");
    request.path = folder_ + "/fifo";
    ASSERT_EQ(::mkfifo(request.path.c_str(), 0600), 0);
    EXPECT_EQ(SymbolFiles::open(request).error().what, request.path + ": not a regular file");
}

TEST_F(ReadSymbols, ReportsComeBackAsTheyWent)
{
    Elf elf;
    const uint64_t table = elf.add(".gopclntab", go_table(GoFormat::k1_20, kGoFunctions, kGoEnd, kCode, 0));
    elf.add(".data", go_module(table, kCode, kCode, kGoEnd));
    elf.add(".go.buildinfo", test::go_build_info("go1.26.4", test::kGoModules));
    SymbolRequest request;
    request.path = write(elf.bytes());
    request.with_sites = true;
    const auto files = SymbolFiles::open(request);
    ASSERT_TRUE(files);
    const auto here = read_symbols(request, *files);
    const auto there = read_symbols_in_child(request);
    ASSERT_TRUE(here && there) << there.error().what;
    const std::vector<char> bytes = encode(*here);
    EXPECT_EQ(encode(*there), bytes);
    EXPECT_EQ(there->facts.go->settings.size(), 3U);
    EXPECT_EQ(names_of(*there), names_of(*here));
    // No beginning of it is a report, and nothing may follow.
    for (size_t size = 0; size < bytes.size(); ++size) {
        ASSERT_FALSE(decode_report(Bytes(std::span(bytes).first(size)))) << size;
    }
    SymbolReport bad;
    bad.facts.build_id = "../../../../../etc/shadow";
    EXPECT_FALSE(decode_report(Bytes(encode(bad))));
    bad.facts.build_id = "00ff";
    EXPECT_TRUE(decode_report(Bytes(encode(bad))));
    bad.functions.resize(1);
    bad.functions[0].source = static_cast<SymbolSource>(4);
    EXPECT_FALSE(decode_report(Bytes(encode(bad))));
    std::vector<char> longer = bytes;
    longer.push_back(0);
    EXPECT_FALSE(decode_report(Bytes(longer)));
}

TEST_F(ReadSymbols, TheChildIsBoundedInTimeAndLeavesNothing)
{
    SymbolRequest request;
    request.path = "/proc/self/exe";
    ChildLimits limits;
    limits.time = std::chrono::milliseconds(0);
    const auto late = read_symbols_in_child(request, limits);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().what, "/proc/self/exe: it takes too long to read");
    limits = {};
    limits.report_bytes = 100;
    const auto large = read_symbols_in_child(request, limits);
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error().what, "/proc/self/exe: there is too much to say of it");
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
    request.path = folder_ + "/none";
    EXPECT_EQ(read_symbols_in_child(request).error().what, request.path + ": No such file or directory");
}

}  // namespace
}  // namespace sonde
