// SPDX-License-Identifier: Apache-2.0
#include <elf.h>

#include <algorithm>
#include <tuple>

#include "userspace/base/glob.h"
#include "userspace/symbols/elf_symbols.h"
#include "userspace/symbols/go_pclntab.h"
#include "userspace/symbols/mangled_name.h"
#include "userspace/symbols/symbol_report.h"

namespace sonde {
namespace {

constexpr uint64_t kMaxFunctionBytes = uint64_t{4} << 20;

// "GCC: (Debian 12.2.0) 12.2.0", "rustc version 1.95.0 (...)": strings behind each other.
std::string read_comment(const ElfFile& elf)
{
    constexpr uint64_t kMaxComment = 65536;
    const ElfSection* section = elf.section(".comment");
    if (section == nullptr || section->size > kMaxComment) {
        return "";
    }
    const Result<std::vector<char>> bytes = elf.contents(*section);
    std::string all;
    for (uint64_t at = 0; bytes && at < bytes->size();) {
        const auto text = Bytes(*bytes).string_at(at);
        if (!text) {
            break;
        }
        if (!text->empty() && all.find(*text) == std::string::npos) {
            all += (all.empty() ? "" : "; ") + std::string(*text);
        }
        at += text->size() + 1;
    }
    return all;
}

// "15.18", "v1.2.3-rc1": the first such text behind the mark in data that is not code.
std::string version_behind(const ElfFile& elf, std::string_view mark)
{
    constexpr std::string_view kVersion("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-+");
    constexpr size_t kMaxVersion = 40;
    for (const ElfSegment& segment : elf.segments()) {
        if (segment.type != PT_LOAD || (segment.flags & PF_X) != 0) {
            continue;
        }
        const Result<std::vector<char>> bytes = elf.contents(segment);
        const std::string_view all = bytes ? Bytes(*bytes).view() : std::string_view();
        for (size_t at = all.find(mark); at != std::string_view::npos; at = all.find(mark, at + 1)) {
            const std::string_view behind = all.substr(at + mark.size(), kMaxVersion);
            const size_t digit = behind.starts_with('v') ? 1 : 0;
            if (digit < behind.size() && behind[digit] >= '0' && behind[digit] <= '9') {
                return std::string(behind.substr(0, behind.find_first_not_of(kVersion)));
            }
        }
    }
    return "";
}

// Go's linker makes the first, which no linker behind it takes away. Looking through all of a large program that is not
// Go for what such a section would say takes longer than reading all else.
bool may_be_go(const ElfFile& elf)
{
    return elf.sections().empty() || elf.section(".go.buildinfo") != nullptr || elf.section(".gopclntab") != nullptr ||
           elf.section(".data.rel.ro.gopclntab") != nullptr;
}

class Reader {
  public:
    Reader(const SymbolRequest& request, const SymbolFiles& files, const ElfFile& elf)
        : request_(request), files_(files), elf_(elf)
    {
        for (const std::string& pattern : request.patterns) {
            patterns_.emplace_back(pattern);
        }
    }

    SymbolReport read();

  private:
    void read_facts();
    void read_tables();
    void read_debug_file();
    void read_go();
    void read_usdt();
    void read_sites();
    bool take(const FunctionView& function);
    void sort_and_thin();
    [[nodiscard]] std::vector<uint32_t> matching(const FunctionName& name) const
    {
        std::vector<uint32_t> matched;
        for (uint32_t i = 0; i < patterns_.size(); ++i) {
            if (patterns_[i].matches(name)) {
                matched.push_back(i);
            }
        }
        return matched;
    }
    void note(const Status& status)
    {
        if (!status) {
            report_.problems.push_back(status.error().what);
        }
    }

    const SymbolRequest& request_;
    const SymbolFiles& files_;
    const ElfFile& elf_;
    std::vector<NamePattern> patterns_;
    SymbolReport report_;
};

SymbolReport Reader::read()
{
    read_facts();
    read_tables();
    read_debug_file();
    read_go();
    read_usdt();
    sort_and_thin();
    if (request_.with_sites) {
        read_sites();
    }
    return std::move(report_);
}

void Reader::read_facts()
{
    BinaryFacts& facts = report_.facts;
    facts.file = files_.program.identity();
    facts.machine = elf_.machine();
    facts.relocatable = elf_.is_relocatable();
    facts.has_symtab = has_table(elf_, ElfTable::kSymtab);
    facts.has_dynsym = has_table(elf_, ElfTable::kDynsym);
    facts.build_id = build_id(elf_);
    facts.compilers = read_comment(elf_);
    facts.version = request_.version_mark.empty() ? "" : version_behind(elf_, request_.version_mark);
    facts.may_unwind =
        elf_.sections().empty() || elf_.section(".gcc_except_table") != nullptr ||
        elf_.section(".gopclntab") != nullptr ||
        imports_any(elf_, {"__cxa_throw", "__gxx_personality", "_Unwind_", "swapcontext", "makecontext"});
}

bool Reader::take(const FunctionView& function)
{
    ++report_.functions_seen;
    const FunctionName name(function.name);
    std::vector<uint32_t> matched = matching(name);
    if (matched.empty() && !patterns_.empty()) {
        return true;
    }
    const std::optional<uint64_t> offset = elf_.file_offset(function.address, 1, PF_X);
    if (!offset) {
        return true;  // it never runs
    }
    if (report_.functions.size() >= SymbolReport::kMaxFunctions) {
        report_.truncated = true;
        return false;
    }
    FunctionSymbol symbol;
    symbol.name = function.name;
    symbol.display = name.display();
    symbol.address = function.address;
    symbol.offset = *offset;
    symbol.size = function.size;
    symbol.source = function.source;
    symbol.go = function.source == SymbolSource::kPclntab;
    symbol.matched = std::move(matched);
    report_.functions.push_back(std::move(symbol));
    return true;
}

void Reader::read_tables()
{
    const FunctionVisitor visit = [this](const FunctionView& function) { return take(function); };
    note(for_each_elf_function(elf_, ElfTable::kSymtab, SymbolSource::kSymtab, visit));
    note(for_each_elf_function(elf_, ElfTable::kDynsym, SymbolSource::kDynsym, visit));
}

void Reader::read_debug_file()
{
    if (!files_.debug_problem.empty()) {
        report_.problems.push_back(files_.debug_problem);
    }
    if (!files_.debug) {
        return;
    }
    const std::string context = "debug file " + request_.debug_path;
    const Result<ElfFile> elf = ElfFile::open(*files_.debug);
    if (!elf) {
        report_.problems.push_back(elf.error().with(context).what);
    } else if (build_id(*elf) != report_.facts.build_id) {
        report_.problems.push_back(context + ": it is of another build");
    } else {
        note(for_each_elf_function(*elf, ElfTable::kSymtab, SymbolSource::kDebugFile,
                                   [this](const FunctionView& function) { return take(function); }));
    }
}

void Reader::read_go()
{
    if (!may_be_go(elf_)) {
        return;
    }
    const ElfWords words(elf_);
    Result<std::optional<GoBuildInfo>> info = GoBuildInfo::find(elf_, words);
    if (info) {
        report_.facts.go = std::move(*info);
    } else {
        report_.problems.push_back(info.error().what);
    }
    const Result<std::optional<GoPclntab>> table = GoPclntab::find(elf_, words);
    if (!table) {
        report_.problems.push_back(table.error().what);
    } else if (*table) {
        report_.facts.go_table = (*table)->format();
        (*table)->for_each([this](const FunctionView& function) { return take(function); });
    }
}

void Reader::read_usdt()
{
    for (UsdtProbe& probe : usdt_probes(elf_)) {
        const std::string name = probe.provider + ":" + probe.name;
        const auto fits = [&name](const NamePattern& p) { return glob_matches(p.text(), name); };
        if (patterns_.empty() || std::any_of(patterns_.begin(), patterns_.end(), fits)) {
            report_.usdt.push_back(std::move(probe));
        }
    }
}

// .dynsym repeats .symtab, and Go's table repeats both.
void Reader::sort_and_thin()
{
    std::vector<FunctionSymbol>& all = report_.functions;
    std::sort(all.begin(), all.end(), [](const FunctionSymbol& a, const FunctionSymbol& b) {
        return std::tie(a.offset, a.name, a.source) < std::tie(b.offset, b.name, b.source);
    });
    for (size_t i = 1; i < all.size(); ++i) {
        all[i].go |= all[i].offset == all[i - 1].offset && all[i - 1].go;
    }
    for (size_t i = all.size(); i-- > 1;) {
        all[i - 1].go |= all[i].offset == all[i - 1].offset && all[i].go;
    }
    const auto same = [](const FunctionSymbol& a, const FunctionSymbol& b) {
        return a.offset == b.offset && a.name == b.name;
    };
    all.erase(std::unique(all.begin(), all.end(), same), all.end());
}

void Reader::read_sites()
{
    uint64_t total = 0;
    for (FunctionSymbol& function : report_.functions) {
        if (function.size == 0 || function.size > kMaxFunctionBytes || total > SymbolReport::kMaxSites) {
            function.no_sites = function.size == 0                  ? "its size is not known"
                                : function.size > kMaxFunctionBytes ? "it is too large"
                                                                    : "there are too many functions";
            continue;
        }
        const Result<std::vector<char>> code = elf_.read_at(function.address, function.size);
        const CodeKind kind = function.go ? CodeKind::kGo : CodeKind::kNative;
        Result<FunctionSites> sites = code ? find_sites(elf_.machine(), kind, Bytes(*code)) : code.error();
        if (sites) {
            function.sites = std::move(*sites);
            total += 1 + function.sites->returns.size();
        } else {
            function.no_sites = sites.error().what;
        }
    }
}

}  // namespace

Result<SymbolFiles> SymbolFiles::open(const SymbolRequest& request)
{
    Result<TargetFile> program = TargetFile::open(request.path);
    if (!program) {
        return program.error().with(request.path);
    }
    SymbolFiles files{std::move(*program), std::nullopt, ""};
    if (!request.debug_path.empty()) {
        Result<TargetFile> debug = TargetFile::open(request.debug_path);
        if (debug) {
            files.debug = std::move(*debug);
        } else {
            files.debug_problem = debug.error().with("debug file " + request.debug_path).what;
        }
    }
    return files;
}

Result<SymbolReport> read_symbols(const SymbolRequest& request, const SymbolFiles& files)
{
    const Result<ElfFile> elf = ElfFile::open(files.program);
    if (!elf) {
        return elf.error().with(request.path);
    }
    return Reader(request, files, *elf).read();
}

}  // namespace sonde
