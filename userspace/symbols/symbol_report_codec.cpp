// SPDX-License-Identifier: Apache-2.0
//
// A report as bytes: numbers of eight bytes, strings and lists behind their lengths, in the order of the fields. One
// function per type says which fields there are, for both directions.
#include <algorithm>

#include "userspace/symbols/symbol_report.h"

namespace sonde {
namespace {

class ReportEncoder {
  public:
    template <class T>
    void number(T& value)
    {
        const auto wide = static_cast<uint64_t>(value);
        const char* bytes = reinterpret_cast<const char*>(&wide);
        out_.insert(out_.end(), bytes, bytes + sizeof(wide));
    }
    void string(std::string& value)
    {
        uint64_t size = value.size();
        number(size);
        out_.insert(out_.end(), value.begin(), value.end());
    }
    template <class T, class Field>
    void list(std::vector<T>& values, uint64_t /*most*/, Field field)
    {
        uint64_t size = values.size();
        number(size);
        for (T& value : values) {
            field(*this, value);
        }
    }
    template <class T, class Field>
    void optional(std::optional<T>& value, Field field)
    {
        bool has = value.has_value();
        number(has);
        if (has) {
            field(*this, *value);
        }
    }
    std::vector<char> take() { return std::move(out_); }

  private:
    std::vector<char> out_;
};

class ReportDecoder {
  public:
    explicit ReportDecoder(Bytes in) : in_(in) {}

    template <class T>
    void number(T& value)
    {
        const std::optional<uint64_t> wide = in_.at<uint64_t>(at_);
        good_ = good_ && wide;
        value = static_cast<T>(wide.value_or(0));
        at_ += sizeof(uint64_t);
    }
    void string(std::string& value)
    {
        uint64_t size = 0;
        number(size);
        const Bytes bytes = in_.part(at_, size);
        good_ = good_ && bytes.size() == size;
        if (good_) {
            value = bytes.view();
            at_ += size;
        }
    }
    template <class T, class Field>
    void list(std::vector<T>& values, uint64_t most, Field field)
    {
        uint64_t size = 0;
        number(size);
        good_ = good_ && size <= most;
        for (uint64_t i = 0; good_ && i < size; ++i) {
            field(*this, values.emplace_back());
        }
    }
    template <class T, class Field>
    void optional(std::optional<T>& value, Field field)
    {
        bool has = false;
        number(has);
        if (good_ && has) {
            field(*this, value.emplace());
        }
    }
    // Everything was there, and nothing else.
    [[nodiscard]] bool done() const { return good_ && at_ == in_.size(); }

  private:
    Bytes in_;
    uint64_t at_ = 0;
    bool good_ = true;
};

template <class Coder>
void code(Coder& c, std::string& text)
{
    c.string(text);
}

template <class Coder>
void code(Coder& c, ProbeSite& site)
{
    c.number(site.offset);
    c.number(site.emulated);
    c.number(site.nop5);
}

template <class Coder>
void code(Coder& c, FunctionSites& sites)
{
    code(c, sites.entry);
    c.list(sites.returns, FunctionSites::kMaxReturns, [](Coder& to, ProbeSite& site) { code(to, site); });
    c.number(sites.begins_again);
    c.number(sites.tail_jumps);
    c.number(sites.indirect_jumps);
}

template <class Coder>
void code(Coder& c, FunctionSymbol& function)
{
    c.string(function.name);
    c.string(function.display);
    c.number(function.address);
    c.number(function.offset);
    c.number(function.size);
    c.number(function.source);
    c.number(function.go);
    c.list(function.matched, SymbolReport::kMaxPatterns, [](Coder& to, uint32_t& pattern) { to.number(pattern); });
    c.optional(function.sites, [](Coder& to, FunctionSites& sites) { code(to, sites); });
    c.string(function.no_sites);
}

template <class Coder>
void code(Coder& c, UsdtProbe& probe)
{
    c.string(probe.provider);
    c.string(probe.name);
    c.string(probe.arguments);
    c.number(probe.offset);
    c.number(probe.semaphore_offset);
    c.number(probe.nop5);
}

template <class Coder>
void code(Coder& c, GoModule& module)
{
    c.string(module.path);
    c.string(module.version);
}

using Setting = std::pair<std::string, std::string>;

template <class Coder>
void code(Coder& c, GoBuildInfo& info)
{
    std::vector<Setting> settings(info.settings.begin(), info.settings.end());
    c.string(info.go_version);
    c.string(info.path);
    code(c, info.main);
    c.list(info.dependencies, GoBuildInfo::kMaxDependencies, [](Coder& to, GoModule& module) { code(to, module); });
    c.list(settings, GoBuildInfo::kMaxSettings, [](Coder& to, Setting& setting) {
        to.string(setting.first);
        to.string(setting.second);
    });
    info.settings = {settings.begin(), settings.end()};
}

template <class Coder>
void code(Coder& c, BinaryFacts& facts)
{
    c.number(facts.file.device);
    c.number(facts.file.inode);
    c.number(facts.file.size);
    c.number(facts.file.mtime_ns);
    c.number(facts.machine);
    c.number(facts.relocatable);
    c.number(facts.has_symtab);
    c.number(facts.has_dynsym);
    c.number(facts.may_unwind);
    c.string(facts.build_id);
    c.string(facts.compilers);
    c.optional(facts.go, [](Coder& to, GoBuildInfo& info) { code(to, info); });
    c.string(facts.version);
    c.string(facts.go_table);
}

template <class Coder>
void code(Coder& c, SymbolReport& report)
{
    code(c, report.facts);
    c.list(report.functions, SymbolReport::kMaxFunctions,
           [](Coder& to, FunctionSymbol& function) { code(to, function); });
    c.number(report.functions_seen);
    c.number(report.truncated);
    c.list(report.usdt, kMaxUsdtProbes, [](Coder& to, UsdtProbe& probe) { code(to, probe); });
    c.list(report.problems, SymbolReport::kMaxProblems, [](Coder& to, std::string& problem) { code(to, problem); });
}

}  // namespace

// By value: the fields are listed once for both directions, so that they are not const.
std::vector<char> encode(SymbolReport report)
{
    ReportEncoder encoder;
    code(encoder, report);
    return encoder.take();
}

Result<SymbolReport> decode_report(Bytes bytes)
{
    ReportDecoder decoder(bytes);
    SymbolReport report;
    code(decoder, report);
    // The build-id becomes the name of a file.
    const std::string& id = report.facts.build_id;
    const bool hex = id.find_first_not_of("0123456789abcdef") == std::string::npos && id.size() <= 2 * kMaxBuildIdBytes;
    const bool sources = std::all_of(report.functions.begin(), report.functions.end(),
                                     [](const FunctionSymbol& f) { return f.source <= SymbolSource::kPclntab; });
    if (!decoder.done() || !hex || !sources) {
        return Error{EBADMSG, "a report that does not fit together"};
    }
    return report;
}

}  // namespace sonde
