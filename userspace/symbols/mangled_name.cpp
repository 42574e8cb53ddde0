// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/mangled_name.h"

// libiberty.h otherwise declares basename() its own way, which string.h contradicts.
#define HAVE_DECL_BASENAME 1
#include <libiberty/demangle.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <memory>
#include <utility>

#include "userspace/base/glob.h"

namespace sonde {
namespace {

std::string demangle(std::string_view name, int options)
{
    const std::unique_ptr<char, void (*)(void*)> text(cplus_demangle(std::string(name).c_str(), DMGL_AUTO | options),
                                                      std::free);
    return text ? std::string(text.get()) : std::string(name);
}

bool is_word(char c)
{
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
}

// "A::b" -> {"A", "b"}; empty where another character stands between the colons.
std::vector<std::string> split_identifiers(std::string_view text)
{
    std::vector<std::string> parts;
    while (true) {
        const size_t end = text.find("::");
        const std::string_view part = text.substr(0, end);
        if (part.empty() || !std::all_of(part.begin(), part.end(), is_word)) {
            return {};
        }
        parts.emplace_back(part);
        if (end == std::string_view::npos) {
            return parts;
        }
        text.remove_prefix(end + 2);
    }
}

bool is_made_by_the_compiler(std::string_view raw, std::string_view shown)
{
    if (raw.starts_with("_ZT") || raw.starts_with("_ZGV") || raw.starts_with("_ZZ") ||
        raw.find(".cold") != std::string_view::npos) {
        return true;  // thunks, tables, guards, what is local to a function, unlikely parts
    }
    for (const std::string_view mark : {"{closure", "{{closure}}", "{lambda", "{shim"}) {
        if (shown.find(mark) != std::string_view::npos) {
            return true;
        }
    }
    return false;
}

// The words of a demangled name outside of angle brackets, or inside of those that a segment begins with.
std::vector<std::string> words_of(std::string_view shown)
{
    std::vector<std::string> words;
    std::string word;
    int depth = 0;       // of angle brackets whose content is left out
    bool begins = true;  // a segment begins here
    const auto finish = [&] {
        if (!word.empty()) {
            words.push_back(std::exchange(word, {}));
        }
    };
    for (const char c : shown) {
        if (depth > 0) {
            depth += c == '<' ? 1 : c == '>' ? -1 : 0;
        } else if (is_word(c)) {
            word += c;
        } else if (c == '<' && !begins) {
            depth = 1;
        } else if (c == '(' || c == '[') {
            break;  // parameters, a clone's suffix
        } else {
            finish();
        }
        begins = c == ':' || (begins && c == '<') || c == ' ';
    }
    finish();
    return words;
}

}  // namespace

std::string display_name(std::string_view name)
{
    return FunctionName(name).display();
}

const std::string& FunctionName::display() const
{
    if (!display_) {
        display_ = is_mangled() ? demangle(name_, DMGL_PARAMS | DMGL_ANSI) : std::string(name_);
    }
    return *display_;
}

const std::vector<std::string>& FunctionName::path() const
{
    if (!path_) {
        const std::string shown = is_mangled() ? demangle(name_, 0) : "";
        const bool ours = shown.empty() || shown == name_ || is_made_by_the_compiler(name_, shown);
        path_ = ours ? std::vector<std::string>() : words_of(shown);
    }
    return *path_;
}

NamePattern::NamePattern(std::string_view text) : text_(text)
{
    if (text.find("::") != std::string_view::npos) {
        identifiers_ = split_identifiers(text);
    }
}

bool NamePattern::matches(const FunctionName& name) const
{
    if (!name.is_mangled() || identifiers_.empty()) {
        return glob_matches(text_, name.raw()) || (name.is_mangled() && glob_matches(text_, name.display()));
    }
    // Most names have not even the words, and taking one apart is dear.
    for (const std::string& identifier : identifiers_) {
        if (name.raw().find(identifier) == std::string_view::npos) {
            return false;
        }
    }
    const std::vector<std::string>& path = name.path();
    if (path.empty() || path.back() != identifiers_.back()) {
        return false;
    }
    size_t next = 0;
    for (const std::string& word : path) {
        next += next < identifiers_.size() && word == identifiers_[next] ? 1 : 0;
    }
    return next == identifiers_.size();
}

}  // namespace sonde
