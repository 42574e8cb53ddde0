// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "userspace/export/canonical.h"
#include "userspace/export/distribution.h"
#include "userspace/export/families.h"
#include "userspace/export/text_calls.h"
#include "userspace/export/text_counters.h"
#include "userspace/export/text_page.h"
#include "userspace/export/units.h"

namespace sonde {
namespace {

using HistogramList = std::vector<const HistogramSeries*>;

std::string percent(double share, int decimals)
{
    std::array<char, 32> text;
    std::snprintf(text.data(), text.size(), "%.*f%%", decimals, share * 100);
    return text.data();
}

const ProbeStatus* find_probe(const Snapshot& s, std::string_view measurement)
{
    for (const ProbeStatus& probe : s.probes) {
        if (probe.measurement == measurement) {
            return &probe;
        }
    }
    return nullptr;
}

const std::string& label_value(const HistogramSeries& series, std::string_view label)
{
    static const std::string kNone;
    const auto found = series.labels.find(std::string(label));
    return found == series.labels.end() ? kNone : found->second;
}

void write_header(TextPage& page, const Snapshot& s)
{
    const std::string start = format_rfc3339(s.start_unix);
    page.paragraph(Paint::kBold, 0,
                   "sonde trace: host " + s.host + ", kernel " + s.kernel + ", from " + start.substr(0, 10) + " " +
                       start.substr(11, 8) + " UTC, " + format_seconds(s.duration_s) + " measured");
    uint64_t clamped = 0;
    bool any = false;
    for (const HistogramSeries& series : s.histograms) {
        clamped += series.histogram.clamped;
        any = any || !series.histogram.empty();
    }
    if (any) {
        page.line(Paint::kDim, "quantiles are within " + percent(Histogram::kRelativeError, 1) + " (bucket width)");
    }
    if (clamped != 0) {
        const double limit = Histogram::upper_bound(Histogram::kLastIndex);
        page.paragraph(Paint::kYellow, 0,
                       counted(clamped, "value") + " above " + format_seconds(limit) +
                           ", the end of the scale: a quantile that falls on these is too low");
    }
}

// Where the numbers come from and what they cost.
void write_origin(TextPage& page, const ProbeStatus& probe, double duration_s)
{
    std::string text = probe.hook.empty() ? "" : probe.hook + "; ";
    text += counted(probe.events, "event");
    if (probe.run_count != 0) {
        const double total_s = static_cast<double>(probe.run_time_ns) / 1e9;
        text += "; " + counted(probe.run_count, "run") + ", " +
                format_seconds(total_s / static_cast<double>(probe.run_count)) + " each";
        text += duration_s > 0 ? ", " + percent(total_s / duration_s, 2) + " of one CPU" : "";
    }
    page.paragraph(Paint::kDim, 2, text);
}

void write_discarded(TextPage& page, const ProbeStatus& probe)
{
    uint64_t total = 0;
    std::string reasons;
    for (const auto& [reason, n] : probe.discarded) {
        if (n != 0) {
            total += n;
            reasons += (reasons.empty() ? "" : ", ") + reason + " " + format_count(n);
        }
    }
    if (total != 0) {
        page.paragraph(Paint::kYellow, 2, counted(total, "event") + " discarded: " + reasons);
    }
}

bool longer(const HistogramSeries* a, const HistogramSeries* b)
{
    if (a->histogram.sum_ns != b->histogram.sum_ns) {
        return a->histogram.sum_ns > b->histogram.sum_ns;
    }
    return a->labels < b->labels;
}

size_t stage_rank(const HistogramSeries& series)
{
    constexpr std::array<std::string_view, 3> kStages{"total", "queue", "device"};
    return static_cast<size_t>(std::find(kStages.begin(), kStages.end(), label_value(series, "stage")) -
                               kStages.begin());
}

// Series of one device and operation together, in the order of a request's life; groups by their longest.
void group_block_stages(HistogramList& list)
{
    std::map<Labels, const HistogramSeries*> longest;
    const auto group = [](const HistogramSeries* series) {
        Labels labels = series->labels;
        labels.erase("stage");
        return labels;
    };
    for (const HistogramSeries* series : list) {  // the list is sorted: the first is the longest
        longest.emplace(group(series), series);
    }
    std::stable_sort(list.begin(), list.end(), [&](const HistogramSeries* a, const HistogramSeries* b) {
        const HistogramSeries* group_a = longest.at(group(a));
        const HistogramSeries* group_b = longest.at(group(b));
        if (group_a != group_b) {
            return longer(group_a, group_b);
        }
        return stage_rank(*a) < stage_rank(*b);
    });
}

// The columns of the family where its series bear exactly these labels, else none: one column for all.
std::vector<std::string> label_columns(const Family& family, const HistogramList& list)
{
    std::vector<std::string> columns;
    for (const std::string_view column : family.columns) {
        if (!column.empty()) {
            columns.emplace_back(column);
        }
    }
    const auto has_pid = [](const HistogramSeries* series) { return series->labels.contains("pid"); };
    if (!columns.empty() && std::all_of(list.begin(), list.end(), has_pid)) {
        columns.insert(columns.begin() + 1, "pid");
    }
    for (const HistogramSeries* series : list) {
        bool fits = series->labels.size() == columns.size();
        for (const std::string& column : columns) {
            fits = fits && series->labels.contains(column);
        }
        if (!fits) {
            return {};
        }
    }
    return columns;
}

void write_table(TextPage& page, const Family& family, HistogramList list)
{
    std::sort(list.begin(), list.end(), longer);
    // Waiting for nothing in particular is what most threads do most of the time: behind what holds them up.
    std::stable_partition(list.begin(), list.end(), [](const HistogramSeries* series) {
        const std::string reason = label_value(*series, "reason");
        return reason != "sleep" && reason != "other";
    });
    if (family.name == kBlockLatency) {
        group_block_stages(list);
    }
    std::vector<std::string> columns = label_columns(family, list);
    std::vector<DistributionRow> rows;
    for (const HistogramSeries* series : list) {
        DistributionRow row{{}, &series->histogram};
        for (const std::string& column : columns) {
            row.labels.push_back(page.label(label_value(*series, column)));
        }
        if (columns.empty()) {
            row.labels.push_back(joined_labels(page, series->labels));
        }
        rows.push_back(std::move(row));
    }
    if (columns.empty()) {
        columns.emplace_back("labels");
    }
    const size_t all = rows.size();
    rows.erase(rows.begin() + static_cast<ptrdiff_t>(page.shown(all)), rows.end());
    Paint paint = Paint::kDim;  // of the header
    for (const std::string& line : distribution_table(columns, rows, page.width(), page.utf8())) {
        page.line(paint, line);
        paint = Paint::kPlain;
    }
    page.more(all - rows.size());
}

void write_section(TextPage& page, const Snapshot& s, const Family& family)
{
    HistogramList list;
    for (const HistogramSeries& series : s.histograms) {
        if (series.name == family.name && !series.histogram.empty()) {
            list.push_back(&series);
        }
    }
    const ProbeStatus* probe = find_probe(s, family.measurement);
    const bool working = probe != nullptr && probe->state != ProbeState::kOff;
    if (list.empty() && !working) {
        return;
    }
    page.blank();
    std::string title(family.title);
    if (probe != nullptr && probe->state == ProbeState::kDegraded) {
        title += " (degraded)";
    }
    if (list.empty()) {
        page.line(Paint::kPlain, title + ": " + std::string(family.nothing));
    } else {
        page.paragraph(Paint::kBold, 0, title);
    }
    if (probe != nullptr && !list.empty()) {
        write_origin(page, *probe, s.duration_s);
    }
    if (probe != nullptr) {
        write_discarded(page, *probe);
    }
    if (!list.empty() && !family.note.empty()) {
        page.paragraph(Paint::kDim, 2, std::string(family.note));
    }
    if (family.name == kClientCalls) {
        write_calls(page, s, list);
    } else if (!list.empty()) {
        write_table(page, family, std::move(list));
    }
    if (family.name == kBlockLatency) {
        write_block_traffic(page, s);
    }
}

void write_unknown_sections(TextPage& page, const Snapshot& s)
{
    std::set<std::string_view> names;
    for (const HistogramSeries& series : s.histograms) {
        if (find_family(series.name) == nullptr) {
            names.insert(series.name);
        }
    }
    for (const std::string_view name : names) {
        write_section(page, s, Family{name, "", name, "", {}, ""});
    }
}

void write_counter_section(TextPage& page, const Snapshot& s)
{
    const ProbeStatus* probe = find_probe(s, kCountersMeasurement);
    const bool working = probe != nullptr && probe->state != ProbeState::kOff;
    if (!working && !has_counters(s)) {
        return;
    }
    page.blank();
    page.line(Paint::kBold, "Counters");
    if (probe != nullptr) {
        write_origin(page, *probe, s.duration_s);
        write_discarded(page, *probe);
    }
    write_counters(page, s);
}

// Probes that no section belongs to: what they lost must not go unsaid.
void write_other_probes(TextPage& page, const Snapshot& s)
{
    for (const ProbeStatus& probe : s.probes) {
        const auto measured = [&](const Family& family) { return family.measurement == probe.measurement; };
        const bool known =
            std::ranges::any_of(histogram_families(), measured) || probe.measurement == kCountersMeasurement;
        if (!known && probe.state != ProbeState::kOff) {
            page.blank();
            page.paragraph(Paint::kBold, 0, probe.measurement);
            write_origin(page, probe, s.duration_s);
            write_discarded(page, probe);
        }
    }
}

void write_limits(TextPage& page, const Snapshot& s)
{
    bool first = true;
    for (const ProbeStatus& probe : s.probes) {
        if (probe.state == ProbeState::kOk) {
            continue;
        }
        if (first) {
            page.blank();
            page.line(Paint::kBold, "Not measured, or with limits");
            first = false;
        }
        const bool off = probe.state == ProbeState::kOff;
        page.paragraph(off ? Paint::kRed : Paint::kYellow, 2,
                       (off ? "off: " : "degraded: ") + probe.measurement + ": " +
                           (probe.reason.empty() ? "no reason was given" : probe.reason));
    }
}

}  // namespace

std::string to_text(const Snapshot& snapshot, const TextStyle& style)
{
    const Snapshot s = canonical(snapshot);
    TextPage page(style);
    write_header(page, s);
    for (const Family& family : histogram_families()) {
        write_section(page, s, family);
    }
    write_unknown_sections(page, s);
    write_counter_section(page, s);
    write_other_probes(page, s);
    write_limits(page, s);
    return page.take();
}

}  // namespace sonde
