// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "userspace/app/client_report.h"
#include "userspace/app/target.h"
#include "userspace/cli/cli.h"
#include "userspace/cli/paint.h"
#include "userspace/export/units.h"
#include "userspace/export/utf8.h"

namespace sonde::cli {
namespace {

constexpr const char* kClients = "clients";
constexpr size_t kIndent = 2;
using Json = nlohmann::ordered_json;

// "  name: a, b, c", wrapped at commas, what is behind the first line two columns more to the right.
std::string wrapped(const std::string& name, const std::vector<std::string>& words, size_t width)
{
    std::string text;
    std::string line = std::string(kIndent, ' ') + name + ": ";
    for (size_t i = 0; i < words.size(); ++i) {
        const std::string word = printable(words[i]) + (i + 1 < words.size() ? "," : "");
        if (line.size() + word.size() > width && line.size() > 2 * kIndent) {
            text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
            line = std::string(2 * kIndent, ' ');
        }
        line += word + " ";
    }
    return text + line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

// Words of a sentence.
std::vector<std::string> split(const std::string& text)
{
    std::vector<std::string> words;
    std::istringstream all(text);
    for (std::string word; all >> word;) {
        words.push_back(word);
    }
    return words;
}

std::string wrapped_text(const std::string& name, const std::string& sentence, size_t width)
{
    std::string text;
    std::string line = std::string(kIndent, ' ') + name + ":";
    for (const std::string& word : split(printable(sentence))) {
        if (line.size() + 1 + word.size() > width) {
            text += line + "\n";
            line = std::string(2 * kIndent - 1, ' ');
        }
        line += " " + word;
    }
    return text + line + "\n";
}

std::string pids_text(const std::vector<pid_t>& pids)
{
    const std::string first = "pid " + std::to_string(pids.front());
    return pids.size() == 1 ? first : first + " and " + std::to_string(pids.size() - 1) + " more";
}

std::string client_text(const ClientReport& report, size_t width, const Paint& paint)
{
    const CatalogClient& client = *report.client.client;
    const ProcessInfo& process = report.client.process;
    std::string head =
        client.client + (report.version.empty() ? "" : " " + report.version) + ", " + pids_text(report.pids);
    head += report.owner.empty() ? "" : ", " + report.owner;
    std::string text = paint(kBold, printable(head)) + "\n";
    std::vector<std::string> program{process.executable};
    if (process.executable_replaced) {
        program.emplace_back("replaced since it was started");
    }
    program.push_back(report.runtime);
    if (!report.symbols.empty()) {
        program.push_back(report.symbols);
    }
    text += wrapped("program", program, width);
    std::vector<std::string> ports, timed, dear, hot, absent;
    for (const uint16_t port : report.ports) {
        ports.push_back(std::to_string(port));
    }
    for (const CallReport& call : report.calls) {
        if (call.state == CallState::kAbsent) {
            absent.push_back(call.call->call);
        }
        if (call.state <= CallState::kPartly) {
            (call.call->rate == CallRate::kHot ? hot : timed).push_back(call.call->call);
        }
        if (call.state <= CallState::kPartly && call.dear) {
            dear.push_back(call.call->call);
        }
    }
    // Calls of several libraries may bear one name.
    for (std::vector<std::string>* list : {&timed, &hot, &dear, &absent}) {
        std::set<std::string> seen;
        std::erase_if(*list, [&seen](const std::string& call) { return !seen.insert(call).second; });
    }
    std::erase_if(absent, [&](const std::string& call) {
        return std::find(timed.begin(), timed.end(), call) != timed.end() ||
               std::find(hot.begin(), hot.end(), call) != hot.end();
    });
    for (const auto& [name, list] : {std::pair{"listens on", &ports}, std::pair{"calls that can be timed", &timed},
                                     std::pair{"frequent ones, timed if --calls names them", &hot},
                                     std::pair{"dearer ones, whose first instruction the kernel single-steps", &dear},
                                     std::pair{"not in this program", &absent}}) {
        text += list->empty() ? "" : wrapped(name, *list, width);
    }
    for (const CallReport& call : report.calls) {
        if (call.state == CallState::kRefused || call.state == CallState::kPartly) {
            const char* how = call.state == CallState::kPartly ? " is seen in part, let alone is " : " is let alone";
            text += wrapped_text(call.call->call + how, call.why, width);
        }
    }
    for (const std::string& problem : report.client.problems) {
        text += paint(kYellow, wrapped_text("not read", problem, width));
    }
    if (!report.what_would_help.empty()) {
        text += paint(kYellow, wrapped_text("no call can be timed", report.what_would_help, width));
    }
    return text;
}

std::string to_text(const ClientsReport& all, const Paint& paint)
{
    constexpr int kDefaultWidth = 100, kLeast = 60;
    const int terminal = terminal_width();
    const auto width = static_cast<size_t>(terminal == 0 ? kDefaultWidth : std::max(terminal, kLeast));
    std::string text;
    for (const ClientReport& report : all.clients) {
        text += (text.empty() ? "" : "\n") + client_text(report, width, paint);
    }
    if (all.clients.empty()) {
        text = "no process of a client or database that is known (sonde catalog lists them)\n";
    }
    if (!all.kernel_unknown.empty()) {
        text += paint(kYellow, "\nwhat this kernel refuses is not known: " + printable(all.kernel_unknown)) + "\n";
    }
    return text;
}

Json client_json(const ClientReport& report)
{
    Json calls = Json::array();
    for (const CallReport& call : report.calls) {
        calls.push_back({{"call", to_valid_utf8(call.call->call)},
                         {"question", to_valid_utf8(call.call->question)},
                         {"rate", rate_name(call.call->rate)},
                         {"state", state_name(call.state)},
                         {"why", to_valid_utf8(call.why)},
                         {"dear", call.dear}});
    }
    Json problems = Json::array();
    for (const std::string& problem : report.client.problems) {
        problems.push_back(to_valid_utf8(problem));
    }
    return {{"client", report.client.client->client},
            {"title", report.client.client->title},
            {"pids", report.pids},
            {"process", to_valid_utf8(report.client.process.comm)},
            {"executable", to_valid_utf8(report.client.process.executable)},
            {"replaced", report.client.process.executable_replaced},
            {"version", to_valid_utf8(report.version)},
            {"runtime", to_valid_utf8(report.runtime)},
            {"symbols", report.symbols},
            {"owner", to_valid_utf8(report.owner)},
            {"ports", report.ports},
            {"calls", std::move(calls)},
            {"what_would_help", report.what_would_help},
            {"problems", std::move(problems)}};
}

std::string to_json(const ClientsReport& all)
{
    Json clients = Json::array();
    for (const ClientReport& report : all.clients) {
        clients.push_back(client_json(report));
    }
    return Json{{"schema", "sonde.clients/1"},
                {"kernel_unknown", to_valid_utf8(all.kernel_unknown)},
                {"clients", std::move(clients)}}
               .dump() +
           "\n";
}

}  // namespace

int run_clients(const std::vector<std::string>& arguments)
{
    std::string output = "text", color = "auto";
    CLI::App app;
    app.name("sonde clients");
    app.description(
        "Shows the node clients and databases that run on this host: what they are, and which of their calls can be\n"
        "timed with sonde trace --client, and which not, and why.");
    app.footer(
        "Found by their build information, file names, command lines and symbols: under another name too.\n"
        "Exit status: 0 done, also if there are none; 1 failed, 2 usage.");
    app.add_option("-o,--output", output, "text or json")->type_name("FORMAT")->check(CLI::IsMember({"text", "json"}));
    app.add_option("--color", color, "auto, always or never")
        ->type_name("WHEN")
        ->check(CLI::IsMember({"auto", "always", "never"}));
    try {
        app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::CallForHelp&) {
        const Status written = write_output(app.help());
        return written ? kDone : report(kClients, written.error());
    } catch (const CLI::ParseError& error) {
        return report_usage(kClients, std::string(error.what()) + " (see sonde clients --help)");
    }
    start_log(kClients, LogLevel::kWarnings);
    const RootedFs fs;
    if (Status status = check_pid_namespace(fs); !status) {
        return report(kClients, status.error());
    }
    const Catalog catalog = load_catalog();
    const ClientsReport all = report_clients(catalog, fs);
    const Status written =
        write_output(output == "json" ? to_json(all) : to_text(all, Paint(use_color(color, STDOUT_FILENO))));
    return written ? kDone : report(kClients, written.error());
}

}  // namespace sonde::cli
