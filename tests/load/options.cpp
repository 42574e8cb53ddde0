// SPDX-License-Identifier: Apache-2.0
#include "tests/load/options.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace sonde::load {
namespace {

constexpr std::string_view kCommonOptions = "cpu cpu2 cpus seconds count comm ready";

uint64_t parse_number(const std::string& name, const std::string& text)
{
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        usage_error("--" + name + " '" + text + "' is not a whole number");
    }
    return value;
}

bool contains_word(std::string_view words, const std::string& word)
{
    std::istringstream stream{std::string(words)};
    std::string each;
    while (stream >> each) {
        if (each == word) {
            return true;
        }
    }
    return false;
}

}  // namespace

void usage_error(const std::string& what)
{
    std::fprintf(stderr, "sonde-load: %s\n", what.c_str());
    std::exit(2);
}

Options::Options(const std::vector<std::string>& arguments, std::string_view accepted)
{
    for (size_t i = 0; i < arguments.size(); ++i) {
        if (!arguments[i].starts_with("--")) {
            usage_error("'" + arguments[i] + "' is not an option");
        }
        const std::string name = arguments[i].substr(2);
        if (!contains_word(accepted, name) && !contains_word(kCommonOptions, name)) {
            usage_error("this load has no option --" + name);
        }
        const bool is_flag = i + 1 == arguments.size() || arguments[i + 1].starts_with("--");
        values_[name] = is_flag ? "" : arguments[++i];
    }
    std::stringstream list(text("cpus", text("cpu", "")) + "," + text("cpu2", ""));
    for (std::string cpu; std::getline(list, cpu, ',');) {
        if (!cpu.empty()) {
            cpus_.push_back(static_cast<int>(parse_number("cpus", cpu)));
        }
    }
}

std::string Options::text(const std::string& name, const std::string& fallback) const
{
    const auto found = values_.find(name);
    return found == values_.end() ? fallback : found->second;
}

uint64_t Options::number(const std::string& name, uint64_t fallback, uint64_t least, uint64_t most) const
{
    const uint64_t value = has(name) ? parse_number(name, text(name, "")) : fallback;
    if (value < least || value > most) {
        usage_error("--" + name + " must be from " + std::to_string(least) + " to " + std::to_string(most));
    }
    return value;
}

double Options::seconds(double fallback) const
{
    if (!has("seconds")) {
        return fallback;
    }
    const std::string value = text("seconds", "");
    char* end = nullptr;
    const double parsed = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || !(parsed > 0) || parsed > kMaxSeconds) {
        usage_error("--seconds must be more than 0 and at most 120");
    }
    return parsed;
}

int Options::cpu_of(size_t task) const
{
    return cpus_.empty() ? -1 : cpus_[task % cpus_.size()];
}

}  // namespace sonde::load
