// SPDX-License-Identifier: Apache-2.0
#include "userspace/symbols/mangled_name.h"

// libiberty.h otherwise declares basename() its own way, which string.h contradicts.
#define HAVE_DECL_BASENAME 1
#include <libiberty/demangle.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <memory>

#include "userspace/base/glob.h"

namespace sonde {
namespace {

bool is_word(char c)
{
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
}

bool is_mangled(std::string_view name)
{
    return name.starts_with("_Z") || name.starts_with("_R");
}

bool is_closure(std::string_view name)
{
    // Legacy Rust writes {{closure}} as an identifier; v0 has a namespace for it.
    return name.find("$u7b$$u7b$closure$u7d$$u7d$") != std::string_view::npos || name.starts_with("_RNC") ||
           name.starts_with("_RINC");
}

// "A::b" -> {"1A", "1b"}; empty where another character stands between the colons.
std::vector<std::string> split_identifiers(std::string_view text)
{
    std::vector<std::string> parts;
    while (true) {
        const size_t end = text.find("::");
        const std::string_view part = text.substr(0, end);
        if (part.empty() || !std::all_of(part.begin(), part.end(), is_word)) {
            return {};
        }
        parts.push_back(std::to_string(part.size()) + std::string(part));
        if (end == std::string_view::npos) {
            return parts;
        }
        text.remove_prefix(end + 2);
    }
}

// Where an identifier with its length stands in a mangled name, from `from` on; npos if nowhere.
size_t find_identifier(std::string_view name, std::string_view counted, size_t from)
{
    for (size_t at = name.find(counted, from); at != std::string_view::npos; at = name.find(counted, at + 1)) {
        // "114foo" is no "14foo".
        if (at == 0 || !std::isdigit(static_cast<unsigned char>(name[at - 1]))) {
            return at;
        }
    }
    return std::string_view::npos;
}

}  // namespace

std::string display_name(std::string_view name)
{
    if (!is_mangled(name)) {
        return std::string(name);
    }
    const std::unique_ptr<char, void (*)(void*)> text(
        cplus_demangle(std::string(name).c_str(), DMGL_AUTO | DMGL_PARAMS | DMGL_ANSI), std::free);
    return text ? std::string(text.get()) : std::string(name);
}

NamePattern::NamePattern(std::string_view text) : text_(text), word_(glob_word(text))
{
    if (text.find("::") != std::string_view::npos) {
        identifiers_ = split_identifiers(text);
    }
}

bool NamePattern::matches(std::string_view name) const
{
    if (!identifiers_.empty() && is_mangled(name)) {
        size_t at = 0;
        for (const std::string& identifier : identifiers_) {
            at = find_identifier(name, identifier, at);
            if (at == std::string_view::npos) {
                return false;
            }
            at += identifier.size();
        }
        return !is_closure(name);
    }
    if (glob_matches(text_, name)) {
        return true;
    }
    // Taking a name apart is dear, and most have not even the word.
    return is_mangled(name) && name.find(word_) != std::string_view::npos && glob_matches(text_, display_name(name));
}

}  // namespace sonde
