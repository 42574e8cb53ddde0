// SPDX-License-Identifier: Apache-2.0
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <functional>
#include <iterator>

#include "userspace/catalog/catalog.h"

namespace sonde {
namespace {

constexpr size_t kMaxQuestion = 60;
constexpr std::string_view kLower("abcdefghijklmnopqrstuvwxyz0123456789");

// yaml-cpp's own way to say what is wrong, and where.
[[noreturn]] void refuse(const YAML::Node& node, const std::string& what)
{
    throw YAML::RepresentationException(node.Mark(), what);
}

std::string text_of(const YAML::Node& node)
{
    if (!node.IsScalar() || node.Scalar().empty()) {
        refuse(node, "a text is expected here");
    }
    return node.Scalar();
}

std::string label_of(const YAML::Node& node, char also)
{
    std::string text = text_of(node);
    if (text.find_first_not_of(std::string(kLower) + also) != std::string::npos) {
        refuse(node, "'" + text + "' may have a-z, 0-9 and '" + also + "' only");
    }
    return text;
}

unsigned number_of(const YAML::Node& node, unsigned least, unsigned most)
{
    unsigned number = 0;
    if (!YAML::convert<unsigned>::decode(node, number) || number < least || number > most) {
        refuse(node, "a number from " + std::to_string(least) + " to " + std::to_string(most) + " is expected here");
    }
    return number;
}

std::string one_of(const YAML::Node& node, const std::vector<std::string>& allowed)
{
    std::string text = text_of(node);
    if (std::find(allowed.begin(), allowed.end(), text) == allowed.end()) {
        std::string all;
        for (const std::string& each : allowed) {
            all += (all.empty() ? "" : ", ") + each;
        }
        refuse(node, "'" + text + "' is none of " + all);
    }
    return text;
}

// A list of texts, or one text.
std::vector<std::string> texts_of(const YAML::Node& node)
{
    std::vector<std::string> texts;
    if (!node.IsSequence()) {
        return {text_of(node)};
    }
    std::transform(node.begin(), node.end(), std::back_inserter(texts), [](const auto& each) { return text_of(each); });
    return texts;
}

using Fields = std::map<std::string, std::function<void(const YAML::Node&)>>;

// Gives each value of a mapping to the field of its key.
void read_fields(const YAML::Node& node, const Fields& fields)
{
    if (!node.IsMap()) {
        refuse(node, "a mapping (key: value) is expected here");
    }
    std::vector<std::string> seen;
    for (const auto& entry : node) {
        const std::string key = text_of(entry.first);
        const auto field = fields.find(key);
        if (field == fields.end() || std::find(seen.begin(), seen.end(), key) != seen.end()) {
            refuse(entry.first, (field == fields.end() ? "there is no key '" : "there are two keys '") + key + "'");
        }
        seen.push_back(key);
        field->second(entry.second);
    }
}

CatalogRule rule_of(const YAML::Node& node)
{
    CatalogRule rule;
    Fields fields;
    for (const auto& [key, into] : {std::pair{"go_main", &rule.go_main}, std::pair{"go_package", &rule.go_package},
                                    std::pair{"go_dependency", &rule.go_dependency},
                                    std::pair{"executable", &rule.executable}, std::pair{"command", &rule.command},
                                    std::pair{"function", &rule.function}, std::pair{"thread", &rule.thread}}) {
        fields[key] = [into = into](const YAML::Node& value) { *into = text_of(value); };
    }
    read_fields(node, fields);
    if (rule.weight() == 0) {
        refuse(node, "a rule that every process would fit");
    }
    return rule;
}

CallRate rate_of(const YAML::Node& node)
{
    const std::string text = one_of(node, {"cold", "warm", "hot"});
    return text == "cold" ? CallRate::kCold : text == "warm" ? CallRate::kWarm : CallRate::kHot;
}

CatalogCall call_of(const YAML::Node& node)
{
    CatalogCall call;
    bool has_rate = false;
    read_fields(
        node, {{"call", [&](const YAML::Node& v) { call.call = label_of(v, '_'); }},
               {"question",
                [&](const YAML::Node& v) {
                    call.question = text_of(v);
                    if (call.question.size() > kMaxQuestion) {
                        refuse(v, "a question of more than " + std::to_string(kMaxQuestion) + " characters");
                    }
                }},
               {"functions", [&](const YAML::Node& v) { call.functions = texts_of(v); }},
               {"usdt",
                [&](const YAML::Node& v) {
                    read_fields(v, {{"begin", [&](const YAML::Node& b) { call.usdt_begin = text_of(b); }},
                                    {"end", [&](const YAML::Node& e) { call.usdt_ends = texts_of(e); }}});
                }},
               {"rate",
                [&](const YAML::Node& v) {
                    call.rate = rate_of(v);
                    has_rate = true;
                }},
               {"within", [&](const YAML::Node& v) { call.within = label_of(v, '_'); }},
               {"counts", [&](const YAML::Node& v) { call.counts = label_of(v, '_'); }},
               {"method",
                [&](const YAML::Node& v) {
                    constexpr unsigned kMostArguments = 5;
                    constexpr size_t kMostKnown = 256, kMostCharacters = 40;
                    constexpr unsigned kMostBytes = 4096;
                    CallText method;
                    read_fields(
                        v,
                        {{"argument", [&](const YAML::Node& n) { method.argument = number_of(n, 1, kMostArguments); }},
                         {"text_at", [&](const YAML::Node& n) { method.text_at = number_of(n, 0, kMostBytes); }},
                         {"known", [&](const YAML::Node& n) { method.known = texts_of(n); }}});
                    if (method.argument == 0 || method.known.empty() || method.known.size() > kMostKnown ||
                        std::any_of(method.known.begin(), method.known.end(),
                                    [](const std::string& text) { return text.size() > kMostCharacters; })) {
                        refuse(v, "'argument' and a list 'known' of up to " + std::to_string(kMostKnown) +
                                      " texts of up to " + std::to_string(kMostCharacters) + " characters are needed");
                    }
                    call.method = method;
                }},
               {"note", [&](const YAML::Node& v) { call.note = text_of(v); }}});
    if (call.call.empty() || call.question.empty() || !has_rate) {
        refuse(node, "a call needs 'call', 'question' and 'rate'");
    }
    if (call.functions.empty() == call.usdt_begin.empty() || call.usdt_begin.empty() != call.usdt_ends.empty()) {
        refuse(node, call.call + " needs either 'functions' or 'usdt' with 'begin' and 'end'");
    }
    return call;
}

std::map<std::string, uint16_t> ports_of(const YAML::Node& node)
{
    constexpr unsigned kLast = 65535;
    std::map<std::string, uint16_t> ports;
    if (!node.IsMap()) {
        refuse(node, "a mapping (what: port) is expected here");
    }
    for (const auto& entry : node) {
        ports[text_of(entry.first)] = static_cast<uint16_t>(number_of(entry.second, 1, kLast));
    }
    return ports;
}

template <class Item>
std::vector<Item> items_of(const YAML::Node& node, Item (*read)(const YAML::Node&))
{
    std::vector<Item> items;
    if (!node.IsSequence()) {
        refuse(node, "a list (- ...) is expected here");
    }
    std::transform(node.begin(), node.end(), std::back_inserter(items),
                   [read](const auto& each) { return read(each); });
    return items;
}

CatalogClient client_of(const YAML::Node& node)
{
    CatalogClient client;
    read_fields(node,
                {{"client", [&](const YAML::Node& v) { client.client = label_of(v, '-'); }},
                 {"title", [&](const YAML::Node& v) { client.title = text_of(v); }},
                 {"kind",
                  [&](const YAML::Node& v) {
                      client.kind = one_of(v, {"execution", "consensus", "builder", "rollup", "database", "library"});
                  }},
                 {"runtime",
                  [&](const YAML::Node& v) {
                      client.runtime = one_of(v, {"go", "rust", "c", "c++", "java", "dotnet", "node", "nim"});
                  }},
                 {"detect", [&](const YAML::Node& v) { client.detect = items_of(v, rule_of); }},
                 {"uses", [&](const YAML::Node& v) { client.uses = texts_of(v); }},
                 {"like", [&](const YAML::Node& v) { client.like = label_of(v, '-'); }},
                 {"ports", [&](const YAML::Node& v) { client.ports = ports_of(v); }},
                 {"version_mark", [&](const YAML::Node& v) { client.version_mark = text_of(v); }},
                 {"object", [&](const YAML::Node& v) { client.object = text_of(v); }},
                 {"without_symbols", [&](const YAML::Node& v) { client.without_symbols = text_of(v); }},
                 {"calls", [&](const YAML::Node& v) { client.calls = items_of(v, call_of); }}});
    if (client.client.empty() || client.title.empty() || client.kind.empty() || client.runtime.empty()) {
        refuse(node, "a client needs 'client', 'title', 'kind' and 'runtime'");
    }
    if (client.detect.empty() != (client.kind == "library")) {
        refuse(node, client.kind == "library" ? "a library is found in its users: 'detect' is for others"
                                              : "'detect' says how its processes are recognised");
    }
    return client;
}

}  // namespace

Result<CatalogClient> parse_client(const std::string& text, const std::string& file)
{
    try {
        CatalogClient client = client_of(YAML::Load(text));
        client.file = file;
        return client;
    } catch (const YAML::Exception& error) {
        const std::string line = error.mark.is_null() ? "" : ":" + std::to_string(error.mark.line + 1);
        return Error{EINVAL, file + line + ": " + error.msg};
    }
}

}  // namespace sonde
