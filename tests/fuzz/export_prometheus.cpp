// SPDX-License-Identifier: Apache-2.0
//
// Whatever names hold, each line is a comment or a sample that a scraper can take apart, and none comes twice.
#include "userspace/export/prometheus.h"

#include <set>
#include <sstream>

#include "tests/fuzz/hostile_snapshot.h"
#include "tests/fuzz/require.h"
#include "userspace/export/utf8.h"

using namespace sonde;
using fuzz::require;

namespace {

// NAME{LABEL="VALUE",...} NUMBER: returns all but the number.
std::string series_of(const std::string& line)
{
    constexpr const char* kName = "abcdefghijklmnopqrstuvwxyz_";
    size_t at = line.find_first_not_of(kName);
    for (char before = '{'; at < line.size() && line[at] == before; before = ',') {
        at = line.find_first_not_of(kName, at + 1);
        require(at != std::string::npos && line.compare(at, 2, "=\"") == 0, "a label is a name and a value");
        for (at += 2; at < line.size() && line[at] != '"'; ++at) {
            require(line[at] != '\\' || std::string("\\\"n").find(line[++at]) != std::string::npos, "a known escape");
        }
        ++at;
    }
    at += at < line.size() && line[at] == '}' ? 1 : 0;
    require(at < line.size() && line[at] == ' ', "a blank comes before the number");
    require(line.find_first_not_of("0123456789.", at + 1) == std::string::npos, "a number is the last");
    return line.substr(0, at);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const std::string text = to_prometheus(fuzz::any_snapshot(data, size));
    require(to_valid_utf8(text) == text, "the text is UTF-8");
    std::istringstream lines(text);
    std::set<std::string> seen;
    for (std::string line; std::getline(lines, line);) {
        require(line.starts_with("# ") ? seen.insert(line).second : seen.insert(series_of(line)).second, "not twice");
    }
    return 0;
}
