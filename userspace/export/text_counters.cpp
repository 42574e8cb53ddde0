// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/text_counters.h"

#include <algorithm>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "userspace/export/families.h"
#include "userspace/export/units.h"
#include "userspace/export/utf8.h"

namespace sonde {
namespace {

using CounterList = std::vector<const CounterSeries*>;

bool is_block(const std::string& name)
{
    return name == kBlockBytes || name == kBlockErrors;
}

// Shown where the distributions of the same measurement are.
bool is_shown_elsewhere(const std::string& name)
{
    return is_block(name) || name == kClientEvents;
}

// Place in the table of families; unknown ones come last.
size_t rank(const std::string& name)
{
    const std::span<const Family> table = counter_families();
    const auto found = std::find_if(table.begin(), table.end(), [&](const Family& f) { return f.name == name; });
    return static_cast<size_t>(found - table.begin());
}

// Families in the order of the table, then the unknown ones by name; in each the largest values first.
std::vector<CounterList> by_family(const Snapshot& s)
{
    std::map<std::pair<size_t, std::string>, CounterList> sorted;
    for (const CounterSeries& series : s.counters) {
        if (!is_shown_elsewhere(series.name) && series.value != 0) {
            sorted[{rank(series.name), series.name}].push_back(&series);
        }
    }
    std::vector<CounterList> families;
    for (auto& [key, list] : sorted) {
        std::stable_sort(list.begin(), list.end(),
                         [](const CounterSeries* a, const CounterSeries* b) { return a->value > b->value; });
        families.push_back(std::move(list));
    }
    return families;
}

std::string value_text(const CounterSeries& series)
{
    return series.name.ends_with("_bytes_total") ? format_bytes(series.value) : format_count(series.value);
}

std::string pad(std::string text, size_t width)
{
    const size_t used = display_width(text);
    return text.append(used < width ? width - used : 0, ' ');
}

struct CounterRow {
    std::string title;
    std::string labels;  // empty if the counter has none
    std::string value;
};

std::vector<CounterRow> make_rows(const TextPage& page, const CounterList& list)
{
    std::vector<CounterRow> rows;
    for (const CounterSeries* series : list) {
        const Family* family = find_family(series->name);
        const std::string title = family == nullptr ? series->name : std::string(family->title);
        rows.push_back({page.cut(page.visible(title), static_cast<size_t>(page.width()) / 2),
                        series->labels.empty() ? "" : joined_labels(page, series->labels), value_text(*series)});
    }
    return rows;
}

// Widths that all rows of the section share; labels get what is left of a line.
struct Widths {
    size_t title = 0;
    size_t labels = 0;
    size_t value = 0;
};

Widths measure(const TextPage& page, const std::vector<CounterRow>& rows)
{
    Widths widths;
    for (const CounterRow& row : rows) {
        widths.title = std::max(widths.title, display_width(row.title));
        widths.labels = std::max(widths.labels, display_width(row.labels));
        widths.value = std::max(widths.value, row.value.size());
    }
    constexpr size_t kGaps = 6;
    widths.labels = std::min(widths.labels, static_cast<size_t>(page.width()) - widths.title - widths.value - kGaps);
    return widths;
}

void write_row(TextPage& page, const CounterRow& row, const Widths& widths)
{
    std::string line = "  " + pad(row.title, widths.title) + "  ";
    if (widths.labels > 0) {
        line += pad(page.cut(row.labels, widths.labels), widths.labels) + "  ";
    }
    page.line(Paint::kPlain, line + std::string(widths.value - row.value.size(), ' ') + row.value);
}

}  // namespace

std::string joined_labels(const TextPage& page, const Labels& labels)
{
    std::string text;
    for (const auto& [name, value] : labels) {
        text += (text.empty() ? "" : ", ") + page.visible(name) + "=" + page.label(value);
    }
    return text.empty() ? "-" : text;
}

bool has_counters(const Snapshot& s)
{
    return !by_family(s).empty();
}

void write_counters(TextPage& page, const Snapshot& s)
{
    const std::vector<CounterList> families = by_family(s);
    if (families.empty()) {
        page.line(Paint::kPlain, "  " + std::string(kNoCounters));
        return;
    }
    std::vector<std::vector<CounterRow>> shown;
    std::vector<CounterRow> all_shown;
    for (const CounterList& list : families) {
        const auto end = list.begin() + static_cast<ptrdiff_t>(page.shown(list.size()));
        shown.push_back(make_rows(page, CounterList(list.begin(), end)));
        all_shown.insert(all_shown.end(), shown.back().begin(), shown.back().end());
    }
    const Widths widths = measure(page, all_shown);
    for (size_t i = 0; i < families.size(); ++i) {
        for (const CounterRow& row : shown[i]) {
            write_row(page, row, widths);
        }
        page.more(families[i].size() - shown[i].size());
    }
}

void write_block_traffic(TextPage& page, const Snapshot& s)
{
    struct Traffic {
        uint64_t bytes = 0;
        uint64_t errors = 0;
    };
    std::map<Labels, Traffic> by_queue;
    for (const CounterSeries& series : s.counters) {
        if (is_block(series.name) && series.value != 0) {
            Traffic& traffic = by_queue[series.labels];
            (series.name == kBlockBytes ? traffic.bytes : traffic.errors) += series.value;
        }
    }
    std::vector<std::pair<Labels, Traffic>> sorted(by_queue.begin(), by_queue.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
        return std::pair(a.second.errors, a.second.bytes) > std::pair(b.second.errors, b.second.bytes);
    });
    const size_t shown = page.shown(sorted.size());
    for (size_t i = 0; i < shown; ++i) {
        const auto& [labels, traffic] = sorted[i];
        std::string text;
        for (const auto& [name, value] : labels) {
            text += text.empty() ? "" : " ";
            text += page.label(value);
        }
        text.append(": ").append(format_bytes(traffic.bytes));
        if (s.duration_s > 0) {
            const double rate = std::min(static_cast<double>(traffic.bytes) / s.duration_s, 1e19);  // below 2^64
            text += ", " + format_bytes(static_cast<uint64_t>(rate)) + "/s";
        }
        text += ", " + counted(traffic.errors, "error");
        page.paragraph(traffic.errors == 0 ? Paint::kPlain : Paint::kRed, 2, text);
    }
    page.more(sorted.size() - shown);
}

}  // namespace sonde
