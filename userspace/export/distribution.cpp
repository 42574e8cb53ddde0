// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/distribution.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string_view>

#include "userspace/export/units.h"
#include "userspace/export/utf8.h"

namespace sonde {
namespace {

constexpr int kOctave = 1 << Histogram::kSchema;
constexpr int kGap = 2;  // before every column
constexpr int kMinLabelWidth = 4;

constexpr std::array<std::string_view, 9> kBlocks{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array<std::string_view, 10> kAscii{" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"};

std::span<const std::string_view> ramp(bool utf8)
{
    return utf8 ? std::span<const std::string_view>(kBlocks) : std::span<const std::string_view>(kAscii);
}

int octave_at_or_below(int index)
{
    return static_cast<int>(std::floor(static_cast<double>(index) / kOctave)) * kOctave;
}

int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

// An end of the axis, as short as can be: "3.81us".
std::string axis_end(int index)
{
    std::string text = format_seconds(Histogram::upper_bound(index));
    std::erase(text, ' ');
    return text;
}

std::string quantile_text(const Histogram& h, double q)
{
    return format_seconds(h.quantile(q).value_or(0));
}

struct Quantity {
    const char* title;
    std::string (*text)(const Histogram&);
};
constexpr std::array<Quantity, 7> kQuantities{{
    {"count", [](const Histogram& h) { return format_count(h.count()); }},
    {"total", [](const Histogram& h) { return format_seconds(static_cast<double>(h.sum_ns) / 1e9); }},
    {"p50", [](const Histogram& h) { return quantile_text(h, 0.5); }},
    {"p90", [](const Histogram& h) { return quantile_text(h, 0.9); }},
    {"p99", [](const Histogram& h) { return quantile_text(h, 0.99); }},
    {"p99.9", [](const Histogram& h) { return quantile_text(h, 0.999); }},
    {"max", [](const Histogram& h) { return format_seconds(static_cast<double>(h.max_ns) / 1e9); }},
}};
// Places in kQuantities of what goes first when columns are short: p99.9, p90.
constexpr std::array<size_t, 2> kDropOrder{5, 3};

struct Column {
    std::vector<std::string> cells;  // the title first
    int width = 0;
    bool is_label = false;
};

Column make_column(std::vector<std::string> cells, bool is_label)
{
    Column column{std::move(cells), 0, is_label};
    for (const std::string& cell : column.cells) {
        column.width = std::max(column.width, static_cast<int>(display_width(cell)));
    }
    return column;
}

std::vector<Column> make_columns(const std::vector<std::string>& label_titles, const std::vector<DistributionRow>& rows)
{
    std::vector<Column> columns;
    for (size_t i = 0; i < label_titles.size(); ++i) {
        std::vector<std::string> cells{label_titles[i]};
        for (const DistributionRow& row : rows) {
            cells.push_back(row.labels[i]);
        }
        columns.push_back(make_column(std::move(cells), true));
    }
    for (const Quantity& quantity : kQuantities) {
        std::vector<std::string> cells{quantity.title};
        for (const DistributionRow& row : rows) {
            cells.push_back(quantity.text(*row.histogram));
        }
        columns.push_back(make_column(std::move(cells), false));
    }
    return columns;
}

int total_width(const std::vector<Column>& columns)
{
    int width = 0;
    for (const Column& column : columns) {
        width += kGap + column.width;
    }
    return width;
}

std::optional<Axis> common_axis(const std::vector<DistributionRow>& rows, int columns, bool utf8)
{
    std::optional<int> lowest;
    std::optional<int> highest;
    for (const DistributionRow& row : rows) {
        const auto& buckets = row.histogram->buckets;
        if (!buckets.empty()) {
            lowest = std::min(lowest.value_or(buckets.begin()->first), buckets.begin()->first);
            highest = std::max(highest.value_or(buckets.rbegin()->first), buckets.rbegin()->first);
        }
    }
    if (!lowest) {
        return std::nullopt;
    }
    return Axis::fit(*lowest, *highest, columns, utf8);
}

// The columns without p99.9 (dropped = 1), and without p90 either (dropped = 2).
std::vector<Column> without_quantiles(std::vector<Column> columns, size_t labels, size_t dropped)
{
    for (const size_t quantity : std::span<const size_t>(kDropOrder).first(dropped)) {
        columns.erase(columns.begin() + static_cast<ptrdiff_t>(labels + quantity));
    }
    return columns;
}

// Cuts the widest label column by one column at a time until the table fits.
void shrink_labels(std::vector<Column>& columns, int width, bool utf8)
{
    while (total_width(columns) > width) {
        Column* widest = nullptr;
        for (Column& column : columns) {
            const bool wider = widest == nullptr || column.width > widest->width;
            if (column.is_label && column.width > kMinLabelWidth && wider) {
                widest = &column;
            }
        }
        if (widest == nullptr) {
            return;
        }
        --widest->width;
        for (std::string& cell : widest->cells) {
            cell = truncate(cell, static_cast<size_t>(widest->width), utf8 ? "…" : "~");
        }
    }
}

std::string padded(const std::string& text, const Column& column)
{
    const std::string space(static_cast<size_t>(column.width) - display_width(text), ' ');
    return std::string(kGap, ' ') + (column.is_label ? text + space : space + text);
}

}  // namespace

std::optional<Axis> Axis::fit(int lowest, int highest, int columns, bool utf8)
{
    if (columns < 1) {
        return std::nullopt;
    }
    const int start = octave_at_or_below(lowest - 1);
    const int range = octave_at_or_below(highest + kOctave - 1) - start;
    const auto axis_of = [&](int per_cell) { return Axis{start, per_cell, divide_up(range, per_cell)}; };
    const auto too_narrow = [&](const Axis& a) { return static_cast<int>(display_width(a.header(utf8))) > a.cells; };
    Axis axis = axis_of(kOctave);
    while (too_narrow(axis) && axis.buckets_per_cell > 1) {
        axis = axis_of(axis.buckets_per_cell / 2);
    }
    if (axis.cells > columns) {
        axis = axis_of(divide_up(range, columns));
    }
    while (too_narrow(axis)) {
        ++axis.cells;
    }
    return axis.cells <= columns ? std::optional<Axis>(axis) : std::nullopt;
}

std::string Axis::header(bool utf8) const
{
    const std::string left = axis_end(first);
    const std::string right = axis_end(first + cells * buckets_per_cell);
    std::string line;
    for (int i = std::max(2, cells - static_cast<int>(left.size() + right.size())); i > 0; --i) {
        line += utf8 ? "─" : "-";
    }
    return left + line + right;
}

std::string Axis::draw(const Histogram& histogram, bool utf8) const
{
    std::vector<uint64_t> counts(static_cast<size_t>(cells));
    for (const auto& [index, n] : histogram.buckets) {
        counts[static_cast<size_t>((index - 1 - first) / buckets_per_cell)] += n;
    }
    const auto fullest = static_cast<double>(*std::max_element(counts.begin(), counts.end()));
    const std::span<const std::string_view> levels = ramp(utf8);
    const auto top = static_cast<double>(levels.size() - 1);
    std::string out;
    for (const uint64_t n : counts) {
        const double height = n == 0 ? 0 : std::ceil(top * (static_cast<double>(n) / fullest));
        out += levels[static_cast<size_t>(height)];
    }
    return out;
}

std::vector<std::string> distribution_table(const std::vector<std::string>& label_titles,
                                            const std::vector<DistributionRow>& rows, int width, bool utf8)
{
    const std::vector<Column> all = make_columns(label_titles, rows);
    std::vector<Column> columns;
    std::optional<Axis> axis;
    for (const size_t dropped : {0, 1, 2}) {
        columns = without_quantiles(all, label_titles.size(), dropped);
        axis = common_axis(rows, width - total_width(columns) - kGap, utf8);
        if (axis) {
            break;
        }
    }
    for (size_t dropped = 0; dropped <= 2 && !axis; ++dropped) {  // without the drawing more may fit again
        columns = without_quantiles(all, label_titles.size(), dropped);
        if (total_width(columns) <= width) {
            break;
        }
    }
    shrink_labels(columns, width, utf8);
    std::vector<std::string> lines;
    for (size_t line = 0; line <= rows.size(); ++line) {
        std::string text;
        for (const Column& column : columns) {
            text += padded(column.cells[line], column);
        }
        if (axis) {
            text +=
                std::string(kGap, ' ') + (line == 0 ? axis->header(utf8) : axis->draw(*rows[line - 1].histogram, utf8));
        }
        text.erase(text.find_last_not_of(' ') + 1);
        lines.push_back(std::move(text));
    }
    return lines;
}

}  // namespace sonde
