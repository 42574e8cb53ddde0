// SPDX-License-Identifier: Apache-2.0
#include "userspace/catalog/catalog.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "userspace/base/rooted_fs.h"
#include "userspace/catalog/embedded.h"

namespace sonde {
namespace {

constexpr size_t kMaxPatterns = 512;  // of a client, with those of its libraries
constexpr std::string_view kSuffix(".yaml");

Error in_file(const CatalogClient& client, const std::string& what)
{
    return Error{EINVAL, client.file + ": " + what};
}

// Puts what a client takes over from another before what it has of its own.
void take_over(const CatalogClient& other, CatalogClient& client)
{
    std::vector<CatalogCall> calls = other.calls;
    for (CatalogCall& own : client.calls) {
        std::erase_if(calls, [&own](const CatalogCall& call) { return call.call == own.call; });
        calls.push_back(std::move(own));
    }
    client.calls = std::move(calls);
    std::vector<std::string> uses = other.uses;
    for (std::string& library : client.uses) {
        if (std::find(uses.begin(), uses.end(), library) == uses.end()) {
            uses.push_back(std::move(library));
        }
    }
    client.uses = std::move(uses);
}

Status check_calls(const CatalogClient& client)
{
    std::set<std::string> calls;
    std::set<std::string> patterns;
    for (const CatalogCall& call : client.calls) {
        if (!calls.insert(call.call).second) {
            return in_file(client, "two calls are named " + call.call);
        }
        for (const std::string& pattern : call.functions) {
            if (!patterns.insert(pattern).second) {
                return in_file(client, "two calls have the function " + pattern);
            }
        }
    }
    if (patterns.size() > kMaxPatterns) {
        return in_file(client, "more than " + std::to_string(kMaxPatterns) + " functions");
    }
    for (const CatalogCall& call : client.calls) {
        std::set<std::string> above{call.call};
        for (const CatalogCall* at = &call; !at->within.empty();) {
            const auto parent = std::find_if(client.calls.begin(), client.calls.end(),
                                             [at](const CatalogCall& other) { return other.call == at->within; });
            if (parent == client.calls.end()) {
                return in_file(client, at->call + " is within " + at->within + ", which is no call");
            }
            if (!above.insert(parent->call).second) {
                return in_file(client, parent->call + " is within itself");
            }
            at = &*parent;
        }
    }
    return ok();
}

using ClientsByName = std::map<std::string, CatalogClient>;

std::vector<CatalogClient> values_of(const ClientsByName& clients)
{
    std::vector<CatalogClient> list;
    std::transform(clients.begin(), clients.end(), std::back_inserter(list), [](const auto& c) { return c.second; });
    return list;
}

// One that does not fit the others is left out alone; one may need another that comes later.
ClientsByName with_those_that_fit(ClientsByName clients, std::vector<CatalogClient> more,
                                  std::vector<std::string>& problems)
{
    std::vector<std::string> why;
    for (bool progress = true; progress && !more.empty();) {
        std::vector<CatalogClient> left;
        why.clear();
        for (CatalogClient& client : more) {
            ClientsByName with = clients;
            with[client.client] = client;
            if (const Result<Catalog> whole = Catalog::of(values_of(with)); whole) {
                clients = std::move(with);
            } else {
                why.push_back(whole.error().what);
                left.push_back(std::move(client));
            }
        }
        progress = left.size() < more.size();
        more = std::move(left);
    }
    problems.insert(problems.end(), why.begin(), why.end());
    return clients;
}

}  // namespace

const char* rate_name(CallRate rate)
{
    return rate == CallRate::kCold ? "cold" : rate == CallRate::kWarm ? "warm" : "hot";
}

unsigned CatalogRule::weight() const
{
    constexpr unsigned kBuilt = 8, kSymbol = 4, kCommand = 2, kName = 1;
    return (go_main.empty() ? 0 : kBuilt) + (go_package.empty() ? 0 : kBuilt) + (go_dependency.empty() ? 0 : kBuilt) +
           (function.empty() ? 0 : kSymbol) + (command.empty() ? 0 : kCommand) + (thread.empty() ? 0 : kCommand) +
           (executable.empty() ? 0 : kName);
}

const CatalogClient* Catalog::find(std::string_view name) const
{
    const auto found = std::lower_bound(clients_.begin(), clients_.end(), name,
                                        [](const CatalogClient& c, std::string_view n) { return c.client < n; });
    return found != clients_.end() && found->client == name ? &*found : nullptr;
}

Result<Catalog> Catalog::of(std::vector<CatalogClient> clients)
{
    std::sort(clients.begin(), clients.end(), [](const auto& a, const auto& b) { return a.client < b.client; });
    Catalog catalog;
    catalog.clients_ = clients;
    for (CatalogClient& client : catalog.clients_) {
        const auto other = std::find_if(clients.begin(), clients.end(),
                                        [&client](const CatalogClient& c) { return c.client == client.like; });
        if (!client.like.empty() && (other == clients.end() || !other->like.empty())) {
            return in_file(client, "it is like " + client.like +
                                       (other == clients.end() ? ", which is no client" : ", which is like another"));
        }
        if (other != clients.end()) {
            take_over(*other, client);
        }
        for (const std::string& library : client.uses) {
            const CatalogClient* used = catalog.find(library);
            if (used == nullptr || used->kind != "library") {
                return in_file(client, "it uses " + library + ", which is no library");
            }
        }
        if (Status status = check_calls(client); !status) {
            return status.error();
        }
    }
    return catalog;
}

Catalog Catalog::load(const std::string& folder, std::vector<std::string>& problems)
{
    std::vector<CatalogClient> parsed;
    for (const EmbeddedFile& file : embedded_clients()) {
        Result<CatalogClient> client = parse_client(std::string(file.text), std::string(file.name));
        if (client) {
            parsed.push_back(std::move(*client));
        } else {
            problems.push_back(client.error().what);
        }
    }
    // What is built in stays as it is, also where a file replaces a client that others are like.
    ClientsByName built_in;
    if (const Result<Catalog> whole = of(std::move(parsed)); whole) {
        for (const CatalogClient& client : whole->clients()) {
            built_in[client.client] = client;
            built_in[client.client].like.clear();
        }
    } else {
        problems.push_back(whole.error().what);
    }
    const RootedFs fs(folder);
    Result<std::vector<std::string>> names = fs.list("/");
    if (!names && names.error().code != ENOENT) {
        problems.push_back(names.error().what);
    }
    if (names) {
        std::sort(names->begin(), names->end());
    }
    std::vector<CatalogClient> own;
    for (const std::string& name : names ? *names : std::vector<std::string>()) {
        if (!name.ends_with(kSuffix)) {
            continue;
        }
        const Result<std::string> text = fs.read("/" + name);
        Result<CatalogClient> client = text ? parse_client(*text, std::string(folder).append("/").append(name))
                                            : Result<CatalogClient>(text.error());
        if (client) {
            own.push_back(std::move(*client));
        } else {
            problems.push_back(client.error().what);
        }
    }
    const ClientsByName all = with_those_that_fit(std::move(built_in), std::move(own), problems);
    Result<Catalog> catalog = of(values_of(all));
    if (!catalog) {
        problems.push_back(catalog.error().what);
        return {};
    }
    return std::move(*catalog);
}

}  // namespace sonde
