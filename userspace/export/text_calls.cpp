// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/text_calls.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "userspace/export/distribution.h"
#include "userspace/export/families.h"
#include "userspace/export/units.h"

namespace sonde {
namespace {

// Client and process.
using GroupName = std::pair<std::string, std::string>;
using Group = std::vector<const HistogramSeries*>;

GroupName group_of(const Labels& labels)
{
    const auto value = [&labels](const char* label) {
        const auto found = labels.find(label);
        return found == labels.end() ? std::string() : found->second;
    };
    return {value("client"), value("process")};
}

const std::string& call_of(const Labels& labels)
{
    static const std::string kNone;
    const auto found = labels.find("call");
    return found == labels.end() ? kNone : found->second;
}

std::string formatted(const char* format, double value)
{
    std::array<char, 32> text;
    std::snprintf(text.data(), text.size(), format, value);
    return text.data();
}

// "1,234", "12.3", "0.50": per second.
std::string rate_text(double per_s)
{
    constexpr double kWhole = 100, kOneDecimal = 10;
    return per_s >= kWhole        ? format_count(static_cast<uint64_t>(std::llround(std::min(per_s, 1e18))))
           : per_s >= kOneDecimal ? formatted("%.1f", per_s)
                                  : formatted("%.2f", per_s);
}

struct TreeRow {
    const HistogramSeries* series;
    const HistogramSeries* above;  // null: none
    size_t depth;
};

// The series of a group as a tree, the longest first at each level.
class CallTree {
  public:
    CallTree(const Snapshot& s, const Group& group)
    {
        std::map<std::string, const HistogramSeries*> by_call;
        for (const HistogramSeries* series : group) {
            by_call[call_of(series->labels)] = series;
        }
        std::map<std::string, std::string> within;
        for (const CallFacts& facts : s.calls) {
            if (!group.empty() && facts.client == group_of(group.front()->labels).first) {
                within[facts.call] = facts.within;
            }
        }
        for (const HistogramSeries* series : group) {
            // The nearest call above that was measured.
            const HistogramSeries* above = nullptr;
            std::string at = within[call_of(series->labels)];
            for (size_t steps = 0; above == nullptr && !at.empty() && steps <= within.size(); ++steps) {
                above = by_call.contains(at) ? by_call[at] : nullptr;
                at = within[at];
            }
            below_[above].push_back(series);
        }
        for (auto& [above, list] : below_) {
            std::stable_sort(list.begin(), list.end(), [](const HistogramSeries* a, const HistogramSeries* b) {
                return a->histogram.sum_ns > b->histogram.sum_ns;
            });
        }
        add_below(nullptr, 0);
    }
    [[nodiscard]] const std::vector<TreeRow>& rows() const { return rows_; }

  private:
    void add_below(const HistogramSeries* above, size_t depth)
    {
        constexpr size_t kMaxDepth = 12;
        const auto found = below_.find(above);
        if (found == below_.end() || depth > kMaxDepth) {
            return;
        }
        for (const HistogramSeries* series : found->second) {
            rows_.push_back({series, above, depth});
            add_below(series, depth + 1);
        }
    }
    std::map<const HistogramSeries*, Group> below_;
    std::vector<TreeRow> rows_;
};

// The part of the time above; more than all of it if it is called from elsewhere too, and then it is no part.
std::string share_text(const TreeRow& row)
{
    if (row.above == nullptr || row.above->histogram.sum_ns == 0) {
        return "";
    }
    const double share =
        static_cast<double>(row.series->histogram.sum_ns) / static_cast<double>(row.above->histogram.sum_ns);
    return share > 1 ? ">100%" : formatted("%.0f%%", share * 100);
}

// Those of a text ("rpc:eth_call") with the call that they are told apart from ("rpc:other").
bool is_let_go(const Snapshot& s, const std::string& client, const std::string& call)
{
    const std::string family = call.substr(0, call.find(':'));
    return std::any_of(s.calls.begin(), s.calls.end(), [&](const CallFacts& facts) {
        return facts.let_go && facts.client == client && (facts.call == call || facts.call == family + ":other");
    });
}

void write_heading(TextPage& page, const Snapshot& s, const GroupName& name)
{
    std::string text = page.label(name.first);
    text += name.first == name.second ? "" : ", process " + page.label(name.second);
    std::string events;
    for (const CounterSeries& counter : s.counters) {
        if (counter.name == kClientEvents && counter.value != 0 && group_of(counter.labels) == name &&
            s.duration_s > 0 && counter.labels.contains("event")) {
            std::string what = page.label(counter.labels.at("event"));
            std::replace(what.begin(), what.end(), '_', ' ');
            events += (events.empty() ? "" : ", ") + what + " " +
                      rate_text(static_cast<double>(counter.value) / s.duration_s) + "/s";
        }
    }
    page.paragraph(Paint::kBold, 2, events.empty() ? text : text + ": " + events);
}

void write_under_way(TextPage& page, const Snapshot& s, const GroupName& name)
{
    struct UnderWay {
        std::string call;
        double calls = 0;
        double longest_s = 0;
    };
    std::map<Labels, UnderWay> by_labels;
    for (const GaugeSeries& gauge : s.gauges) {
        if (group_of(gauge.labels) != name) {
            continue;
        }
        UnderWay& call = by_labels[gauge.labels];
        call.call = call_of(gauge.labels);
        (gauge.name == kClientInFlight ? call.calls : call.longest_s) = gauge.value;
    }
    std::vector<UnderWay> all;
    for (const auto& [labels, call] : by_labels) {
        all.push_back(call);
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.longest_s > b.longest_s; });
    std::string text;
    for (size_t i = 0; i < page.shown(all.size()); ++i) {
        text += (text.empty() ? "" : "; ") + page.label(all[i].call) + " " +
                format_count(static_cast<uint64_t>(all[i].calls)) + ", for " + format_seconds(all[i].longest_s);
        text += all[i].calls > 1 ? " at most" : "";
    }
    if (!text.empty()) {
        page.paragraph(Paint::kDim, 2, "under way at the end (or left by a panic, a jump or an exit): " + text);
    }
}

// What was attached and never fired, and where that is strange: the call that makes it was made.
void write_silent(TextPage& page, const Snapshot& s, const std::string& client)
{
    std::map<std::string, uint64_t> begun;
    for (const CallFacts& facts : s.calls) {
        if (facts.client == client) {
            begun[facts.call] = facts.begun;
        }
    }
    std::string silent, strange;
    for (const CallFacts& facts : s.calls) {
        if (facts.client != client || facts.begun != 0 || facts.question.empty()) {
            continue;
        }
        const auto above = begun.find(facts.within);
        const bool is_strange = above != begun.end() && above->second != 0;
        std::string& list = is_strange ? strange : silent;
        list += (list.empty() ? "" : ", ") + page.label(facts.call);
    }
    if (!silent.empty()) {
        page.paragraph(Paint::kDim, 2, "attached, and not called: " + silent);
    }
    if (!strange.empty()) {
        page.paragraph(Paint::kYellow, 2,
                       "attached, and not called although the call above was (its work was not needed, or is compiled "
                       "into another function): " +
                           strange);
    }
}

void write_group(TextPage& page, const Snapshot& s, const GroupName& name, const Group& group)
{
    write_heading(page, s, name);
    const CallTree tree(s, group);
    std::vector<DistributionRow> rows;
    const size_t all = tree.rows().size();
    const size_t shown = std::min(all, 2 * page.shown(all));  // one level of the tree is no whole answer
    bool nested = false;
    for (size_t i = 0; i < shown; ++i) {
        const TreeRow& row = tree.rows()[i];
        const double per_s = s.duration_s > 0 ? static_cast<double>(row.series->histogram.count()) / s.duration_s : 0;
        const std::string& call = call_of(row.series->labels);
        const bool in_part = is_let_go(s, name.first, call);
        rows.push_back({{std::string(2 * row.depth, ' ') + page.label(call), in_part ? "let go" : rate_text(per_s),
                         in_part ? "" : share_text(row)},
                        &row.series->histogram});
        nested = nested || row.above != nullptr;
    }
    std::vector<std::string> titles{"call", "per s", "of above"};
    if (!nested) {
        titles.pop_back();
        for (DistributionRow& row : rows) {
            row.labels.pop_back();
        }
    }
    Paint paint = Paint::kDim;  // of the header
    for (const std::string& line : distribution_table(titles, rows, page.width(), page.utf8())) {
        page.line(paint, line);
        paint = Paint::kPlain;
    }
    page.more(all - shown);
    write_under_way(page, s, name);
    write_silent(page, s, name.first);
}

}  // namespace

void write_calls(TextPage& page, const Snapshot& s, const std::vector<const HistogramSeries*>& list)
{
    std::map<GroupName, std::pair<uint64_t, Group>> groups;
    for (const HistogramSeries* series : list) {
        auto& [sum_ns, group] = groups[group_of(series->labels)];
        sum_ns += series->histogram.sum_ns;
        group.push_back(series);
    }
    std::vector<std::pair<GroupName, std::pair<uint64_t, Group>>> sorted(groups.begin(), groups.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.second.first > b.second.first; });
    std::set<std::string> silent;  // clients without a call that ended
    for (const CallFacts& facts : s.calls) {
        silent.insert(facts.client);
    }
    for (const auto& [name, group] : sorted) {
        write_group(page, s, name, group.second);
        silent.erase(name.first);
    }
    for (const std::string& client : silent) {
        write_silent(page, s, client);
    }
}

}  // namespace sonde
