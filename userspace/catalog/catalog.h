// SPDX-License-Identifier: Apache-2.0
//
// What is known of node clients, databases and libraries: how a process of one is recognised, and which of its
// functions answer which question. Data, from files: clients/README.md says what they hold. Values only, no thread
// rule.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/base/result.h"

namespace sonde {

// How often a call is made in normal work: less than 10 times per second, less than 1,000 times, more.
enum class CallRate { kCold, kWarm, kHot };
[[nodiscard]] const char* rate_name(CallRate rate);  // "cold", "warm", "hot"

// Where a function's argument leads to a text: a Go string at `text_at` in the struct that argument `argument` (the
// first is 1) points to. Calls with one of the texts `known` have a distribution of their own, all others share one.
struct CallText {
    unsigned argument = 0;
    unsigned text_at = 0;
    std::vector<std::string> known;
};

// The calls that one question is about.
struct CatalogCall {
    std::string call;                    // label of metrics
    std::string question;                // for people
    std::vector<std::string> functions;  // NamePatterns
    std::string usdt_begin;              // "PROVIDER:NAME"; empty: functions
    std::vector<std::string> usdt_ends;
    CallRate rate = CallRate::kCold;
    std::string within;  // the call that mostly makes this one; empty: none
    std::string counts;  // what each call is one of, as "blocks"; empty: nothing to count
    std::optional<CallText> method;
    std::string note;
};

// What a process must be to be a client: everything that is given.
struct CatalogRule {
    std::string go_main;        // glob, of the path of a Go program's main module
    std::string go_package;     // glob, of the path of its main package
    std::string go_dependency;  // glob, of the path of a module that it was linked with
    std::string executable;     // glob, of its file's name
    std::string command;        // glob, of a word of its command line or its last path component
    std::string function;       // NamePattern, of a function in its program's symbols
    std::string thread;         // glob, of the name of one of its threads

    // How much it says that a process fits: build information most, names that anybody can give least.
    [[nodiscard]] unsigned weight() const;
};

struct CatalogClient {
    std::string client;
    std::string title;
    std::string kind;
    std::string runtime;
    std::vector<CatalogRule> detect;  // one of these; none: a library
    std::string like;                 // the client whose calls and libraries it has too; empty: none
    std::vector<std::string> uses;    // libraries
    std::map<std::string, uint16_t> ports;
    std::string version_mark;
    std::string object;  // glob, of the name of the shared object that its calls are in; empty: the program itself
    std::string without_symbols;
    std::vector<CatalogCall> calls;  // those of the client that it is like come first
    std::string file;                // where it was read
};

class Catalog {
  public:
    // Of what is built in, and of the files *.yaml in `folder`, which replace clients of the same name. What is wrong
    // with one of these leaves that one out, and is a line of `problems`; a folder that is not there is none.
    static Catalog load(const std::string& folder, std::vector<std::string>& problems);
    // REQUIRES: each is well-formed. For what refers to another client: an error that names it.
    static Result<Catalog> of(std::vector<CatalogClient> clients);

    [[nodiscard]] const std::vector<CatalogClient>& clients() const { return clients_; }  // by name
    [[nodiscard]] const CatalogClient* find(std::string_view name) const;

  private:
    std::vector<CatalogClient> clients_;
};

// One file. An error says in which line what is wrong.
[[nodiscard]] Result<CatalogClient> parse_client(const std::string& text, const std::string& file);

}  // namespace sonde
