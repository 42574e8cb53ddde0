// SPDX-License-Identifier: Apache-2.0
#include <elf.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "userspace/app/binary.h"
#include "userspace/cli/cli.h"
#include "userspace/cli/paint.h"
#include "userspace/export/units.h"
#include "userspace/export/utf8.h"

namespace sonde::cli {
namespace {

constexpr const char* kSymbols = "symbols";

std::string hex(uint64_t n)
{
    constexpr size_t kDigits = 16;
    std::string text;
    for (uint64_t rest = n; rest != 0 || text.empty(); rest /= kDigits) {
        text.insert(text.begin(), "0123456789abcdef"[rest % kDigits]);
    }
    return "0x" + text;
}

std::string machine_name(uint16_t machine)
{
    return machine == EM_X86_64 ? "x86-64" : machine == EM_AARCH64 ? "arm64" : "machine " + std::to_string(machine);
}

// "no symbols", "symtab, dynsym and Go's function table (1.20)"
std::string symbols_of(const BinaryFacts& facts)
{
    std::string text;
    const auto add = [&text](bool has, const std::string& name) {
        text += has ? (text.empty() ? "" : ", ") + name : "";
    };
    add(facts.has_symtab, ".symtab");
    add(facts.has_dynsym, ".dynsym");
    add(!facts.go_table.empty(), "Go's function table (format of Go " + facts.go_table + ")");
    return text.empty() ? "none: it is stripped" : text;
}

std::string site_text(const ProbeSite& site)
{
    return "+" + hex(site.offset) + (site.nop5 ? " nop5" : site.emulated ? "" : " (stepped)");
}

std::string sites_text(const FunctionSymbol& function)
{
    if (!function.sites) {
        return "no sites: " + printable(function.no_sites);
    }
    const FunctionSites& sites = *function.sites;
    std::string text = "entry " + site_text(sites.entry) + "; ";
    text += sites.returns.empty() ? "no return" : counted(sites.returns.size(), "return") + ":";
    constexpr size_t kShown = 8;
    for (size_t i = 0; i < std::min(kShown, sites.returns.size()); ++i) {
        text += " " + site_text(sites.returns[i]);
    }
    text += sites.returns.size() > kShown ? " ..." : "";
    text += sites.begins_again == 0 ? "" : "; begins again at " + std::to_string(sites.begins_again);
    text += sites.tail_jumps == 0 ? "" : "; jumps out at " + std::to_string(sites.tail_jumps);
    return text + (sites.indirect_jumps == 0 ? "" : "; computed jumps at " + std::to_string(sites.indirect_jumps));
}

void add_fact(std::string& text, const std::string& name, const std::string& value)
{
    if (!value.empty()) {
        text += pad(name, 12) + printable(value) + "\n";
    }
}

std::string facts_text(const SymbolReport& report)
{
    const BinaryFacts& facts = report.facts;
    std::string text;
    add_fact(text, "program", machine_name(facts.machine) + (facts.relocatable ? ", loaded anywhere (PIE)" : ""));
    add_fact(text, "symbols", symbols_of(facts));
    add_fact(text, "build-id", facts.build_id);
    add_fact(text, "compilers", facts.compilers);
    if (facts.go) {
        add_fact(text, "go", facts.go->go_version);
        add_fact(text, "package", facts.go->path);
        add_fact(text, "module", facts.go->main.path + " " + facts.go->main.version);
    }
    for (const std::string& problem : report.problems) {
        add_fact(text, "problem", problem);
    }
    return text;
}

std::string to_text(const SymbolReport& report, const Paint& paint)
{
    std::string text = facts_text(report);
    if (!report.functions.empty()) {
        text += "\n" + paint(kBold, "  ADDRESS     OFFSET      SIZE  FROM        FUNCTION") + "\n";
    }
    for (const FunctionSymbol& f : report.functions) {
        text += pad_left(hex(f.address), 10) + " " + pad_left(hex(f.offset), 10) + " " +
                pad_left(f.size == 0 ? "?" : std::to_string(f.size), 9) + "  " + pad(source_name(f.source), 12) +
                printable(f.display) + "\n";
        if (f.sites || !f.no_sites.empty()) {
            text += paint(kDim, std::string(34, ' ') + sites_text(f)) + "\n";
        }
    }
    if (!report.usdt.empty()) {
        text += "\n" + paint(kBold, "    OFFSET  SEMAPHORE  STATIC TRACEPOINT (USDT)") + "\n";
    }
    for (const UsdtProbe& p : report.usdt) {
        text += pad_left(hex(p.offset), 10) + " " +
                pad_left(p.semaphore_offset == 0 ? "-" : hex(p.semaphore_offset), 10) + "  " +
                printable(p.provider + ":" + p.name) + paint(kDim, "  " + printable(p.arguments)) + "\n";
    }
    text += "\n" + format_count(report.functions.size()) + " of " + format_count(report.functions_seen) +
            " symbols of functions, " + format_count(report.usdt.size()) + " static tracepoints" +
            (report.truncated ? "; there are more" : "") + "\n";
    return text;
}

nlohmann::ordered_json to_json(const ProbeSite& site)
{
    return {{"offset", site.offset}, {"emulated", site.emulated}, {"nop5", site.nop5}};
}

nlohmann::ordered_json to_json(const FunctionSymbol& f)
{
    nlohmann::ordered_json object{{"name", to_valid_utf8(f.name)},
                                  {"display_name", to_valid_utf8(f.display)},
                                  {"address", f.address},
                                  {"offset", f.offset},
                                  {"size", f.size},
                                  {"source", source_name(f.source)}};
    if (f.sites) {
        object["entry"] = to_json(f.sites->entry);
        object["returns"] = nlohmann::ordered_json::array();
        for (const ProbeSite& site : f.sites->returns) {
            object["returns"].push_back(to_json(site));
        }
        object["begins_again"] = f.sites->begins_again;
        object["tail_jumps"] = f.sites->tail_jumps;
        object["indirect_jumps"] = f.sites->indirect_jumps;
    } else if (!f.no_sites.empty()) {
        object["no_sites"] = to_valid_utf8(f.no_sites);
    }
    return object;
}

nlohmann::ordered_json to_json(const GoBuildInfo& go)
{
    nlohmann::ordered_json object{{"version", to_valid_utf8(go.go_version)},
                                  {"package", to_valid_utf8(go.path)},
                                  {"module", to_valid_utf8(go.main.path)},
                                  {"module_version", to_valid_utf8(go.main.version)}};
    object["settings"] = nlohmann::ordered_json::object();
    for (const auto& [key, value] : go.settings) {
        object["settings"][to_valid_utf8(key)] = to_valid_utf8(value);
    }
    return object;
}

std::string dumped(const nlohmann::ordered_json& value)
{
    return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string to_json(const SymbolReport& report)
{
    using nlohmann::ordered_json;
    const BinaryFacts& facts = report.facts;
    ordered_json document{{"schema", "sonde.symbols/1"},
                          {"machine", machine_name(facts.machine)},
                          {"pie", facts.relocatable},
                          {"symtab", facts.has_symtab},
                          {"dynsym", facts.has_dynsym},
                          {"build_id", facts.build_id},
                          {"compilers", to_valid_utf8(facts.compilers)},
                          {"go_table_format", facts.go_table}};
    document["go"] = facts.go ? to_json(*facts.go) : ordered_json();
    document["problems"] = ordered_json::array();
    for (const std::string& problem : report.problems) {
        document["problems"].push_back(to_valid_utf8(problem));
    }
    document["functions_seen"] = report.functions_seen;
    document["truncated"] = report.truncated;
    document["usdt"] = ordered_json::array();
    for (const UsdtProbe& p : report.usdt) {
        document["usdt"].push_back({{"provider", to_valid_utf8(p.provider)},
                                    {"name", to_valid_utf8(p.name)},
                                    {"arguments", to_valid_utf8(p.arguments)},
                                    {"offset", p.offset},
                                    {"semaphore_offset", p.semaphore_offset}});
    }
    // Functions one by one: as one document, those of a large program would take hundreds of megabytes.
    std::string text = dumped(document);
    text.pop_back();
    text += ",\"functions\":[";
    for (const FunctionSymbol& f : report.functions) {
        text += dumped(to_json(f)) + ',';
    }
    if (text.back() == ',') {
        text.pop_back();
    }
    return text + "]}\n";
}

}  // namespace

int run_symbols(const std::vector<std::string>& arguments)
{
    BinaryQuestion question;
    std::string output = "text";
    std::string color = "auto";
    CLI::App app;
    app.name("sonde symbols");
    app.description(
        "Shows what the file of a program says of itself, and its functions: from .symtab, .dynsym, a separate\n"
        "debug file, or the table that Go programs carry even when they are stripped.");
    app.footer(
        "Patterns: 'core.(*BlockChain).*' (* is any run of characters), or identifiers of a Rust or C++ name in\n"
        "their order: EngineApiTreeHandler::on_new_payload. Without one, all functions.\n"
        "The file is read by a child without privileges. Exit status: 0 something matched, 1 nothing did.");
    app.add_option("BINARY", question.target, "A program's file, or the number of a process")->required();
    app.add_option("PATTERN", question.patterns, "Which functions and static tracepoints (PROVIDER:NAME)");
    app.add_flag("--sites", question.with_sites,
                 "Where each could be probed: entry and returns; 'stepped' sites cost the process more");
    app.add_option("-o,--output", output, "text or json")->type_name("FORMAT")->check(CLI::IsMember({"text", "json"}));
    app.add_option("--color", color, "auto, always or never")
        ->type_name("WHEN")
        ->check(CLI::IsMember({"auto", "always", "never"}));
    try {
        app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::CallForHelp&) {
        const Status written = write_output(app.help());
        return written ? kDone : report(kSymbols, written.error());
    } catch (const CLI::ParseError& error) {
        return report_usage(kSymbols, std::string(error.what()) + " (see sonde symbols --help)");
    }
    const Result<SymbolReport> examined = examine_binary(question, RootedFs());
    if (!examined) {
        return report(kSymbols, examined.error());
    }
    const Status written = write_output(output == "json" ? to_json(*examined)
                                                         : to_text(*examined, Paint(use_color(color, STDOUT_FILENO))));
    if (!written) {
        return report(kSymbols, written.error());
    }
    return examined->functions.empty() && examined->usdt.empty() ? kFailed : kDone;
}

}  // namespace sonde::cli
