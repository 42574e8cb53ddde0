// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "userspace/app/client_finder.h"
#include "userspace/cli/cli.h"
#include "userspace/cli/paint.h"
#include "userspace/export/units.h"
#include "userspace/export/utf8.h"

namespace sonde::cli {
namespace {

constexpr const char* kCatalog = "catalog";
using Json = nlohmann::ordered_json;

std::string joined(const std::vector<std::string>& words)
{
    std::string text;
    for (const std::string& word : words) {
        text += (text.empty() ? "" : ", ") + word;
    }
    return text;
}

std::string list_text(const Catalog& catalog, const Paint& paint)
{
    constexpr size_t kName = 18, kKind = 11, kRuntime = 9, kCalls = 7;
    std::string text = paint(kDim, pad("client", kName) + pad("kind", kKind) + pad("runtime", kRuntime) +
                                       pad("calls", kCalls) + "what it is") +
                       "\n";
    for (const CatalogClient& client : catalog.clients()) {
        text += printable(pad(client.client, kName) + pad(client.kind, kKind) + pad(client.runtime, kRuntime) +
                          pad(std::to_string(client.calls.size()), kCalls) + client.title) +
                "\n";
    }
    return text + "\nsonde catalog NAME shows the calls of one. Files in /etc/sonde/clients.d/ add to these.\n";
}

size_t depth_of(const CatalogClient& client, const CatalogCall& call)
{
    size_t depth = 0;
    const CatalogCall* at = &call;
    while (at != nullptr && !at->within.empty() && depth < client.calls.size()) {
        const auto above = std::find_if(client.calls.begin(), client.calls.end(),
                                        [at](const CatalogCall& c) { return c.call == at->within; });
        at = above == client.calls.end() ? nullptr : &*above;
        ++depth;
    }
    return depth;
}

std::string client_text(const CatalogClient& client, bool functions, const Paint& paint)
{
    constexpr size_t kCall = 30, kRate = 6;
    std::string text = paint(kBold, printable(client.client + ": " + client.title)) + "\n";
    const std::string ports = [&client] {
        std::vector<std::string> all;
        for (const auto& [what, port] : client.ports) {
            all.push_back(what + " " + std::to_string(port));
        }
        return joined(all);
    }();
    text += client.uses.empty() ? "" : printable("  with the calls of: " + joined(client.uses)) + "\n";
    text += ports.empty() ? "" : printable("  usual ports: " + ports) + "\n";
    text += client.without_symbols.empty() ? "" : printable("  without symbols: " + client.without_symbols) + "\n";
    text += "\n" + paint(kDim, "  " + pad("call", kCall) + pad("rate", kRate) + "question") + "\n";
    for (const CatalogCall& call : client.calls) {
        const std::string name = std::string(2 * depth_of(client, call), ' ') + call.call;
        text += printable("  " + pad(name, kCall) + pad(rate_name(call.rate), kRate) + call.question +
                          (call.note.empty() ? "" : " (" + call.note + ")")) +
                "\n";
        for (const std::string& function : functions ? call.functions : std::vector<std::string>()) {
            text += paint(kDim, printable("      " + function)) + "\n";
        }
        if (functions && !call.usdt_begin.empty()) {
            text += paint(kDim, printable("      " + call.usdt_begin + " to " + joined(call.usdt_ends))) + "\n";
        }
    }
    return text + "\nHot calls are timed only if --calls names them." +
           (functions ? "" : " sonde catalog " + printable(client.client) + " --functions shows the functions.") + "\n";
}

Json client_json(const CatalogClient& client)
{
    Json calls = Json::array();
    for (const CatalogCall& call : client.calls) {
        calls.push_back({{"call", call.call},
                         {"question", call.question},
                         {"rate", rate_name(call.rate)},
                         {"within", call.within.empty() ? Json(nullptr) : Json(call.within)},
                         {"counts", call.counts.empty() ? Json(nullptr) : Json(call.counts)},
                         {"functions", call.functions},
                         {"usdt_begin", call.usdt_begin.empty() ? Json(nullptr) : Json(call.usdt_begin)},
                         {"usdt_ends", call.usdt_ends},
                         {"note", call.note}});
    }
    return {{"client", client.client}, {"title", client.title}, {"kind", client.kind},      {"runtime", client.runtime},
            {"uses", client.uses},     {"file", client.file},   {"calls", std::move(calls)}};
}

int check(const std::string& path)
{
    std::ifstream file(path);
    if (!file) {
        return report(kCatalog, Error::from_errno(errno, path));
    }
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    Result<CatalogClient> client = parse_client(text, path);
    if (!client) {
        return report(kCatalog, Error{0, client.error().what});
    }
    std::vector<CatalogClient> all = load_catalog().clients();
    std::erase_if(all, [&client](const CatalogClient& other) { return other.client == client->client; });
    const std::string name = client->client;
    const size_t calls = client->calls.size();
    all.push_back(std::move(*client));
    if (const Result<Catalog> whole = Catalog::of(std::move(all)); !whole) {
        return report(kCatalog, Error{0, whole.error().what});
    }
    const Status written = write_output(printable(path + ": " + name + ", " + counted(calls, "call")) + "\n");
    return written ? kDone : report(kCatalog, written.error());
}

}  // namespace

int run_catalog(const std::vector<std::string>& arguments)
{
    std::string name, file, output = "text", color = "auto";
    bool functions = false;
    CLI::App app;
    app.name("sonde catalog");
    app.description(
        "Shows the node clients, databases and libraries that sonde knows, and which of their calls it can time.");
    app.footer(
        "Examples:\n"
        "  sonde catalog                       all of them, a line each\n"
        "  sonde catalog geth                  the calls of one, with the question that each answers\n"
        "  sonde catalog --check my.yaml       what is wrong with a file for /etc/sonde/clients.d/\n\n"
        "Exit status: 0 done, 1 there is no such client, or something is wrong with the file; 2 usage.");
    app.add_option("NAME", name, "A client, database or library");
    app.add_flag("--functions", functions, "Show the functions and tracepoints of each call");
    app.add_option("--check", file, "Check a file, do nothing else")->type_name("FILE");
    app.add_option("-o,--output", output, "text or json")->type_name("FORMAT")->check(CLI::IsMember({"text", "json"}));
    app.add_option("--color", color, "auto, always or never")
        ->type_name("WHEN")
        ->check(CLI::IsMember({"auto", "always", "never"}));
    try {
        app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::CallForHelp&) {
        const Status written = write_output(app.help());
        return written ? kDone : report(kCatalog, written.error());
    } catch (const CLI::ParseError& error) {
        return report_usage(kCatalog, std::string(error.what()) + " (see sonde catalog --help)");
    }
    start_log(kCatalog, LogLevel::kWarnings);
    if (!file.empty()) {
        return check(file);
    }
    const Catalog catalog = load_catalog();
    const CatalogClient* client = catalog.find(name);
    if (!name.empty() && client == nullptr) {
        report(kCatalog, Error{0, "there is no '" + name + "' in it"});
        return kFailed;
    }
    const Paint paint(use_color(color, STDOUT_FILENO));
    std::string text;
    if (output == "json") {
        Json clients = Json::array();
        for (const CatalogClient& each : catalog.clients()) {
            if (client == nullptr || client == &each) {
                clients.push_back(client_json(each));
            }
        }
        text = Json{{"schema", "sonde.catalog/1"}, {"clients", std::move(clients)}}.dump() + "\n";
    } else {
        text = client == nullptr ? list_text(catalog, paint) : client_text(*client, functions, paint);
    }
    const Status written = write_output(text);
    return written ? kDone : report(kCatalog, written.error());
}

}  // namespace sonde::cli
