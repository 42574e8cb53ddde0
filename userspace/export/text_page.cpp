// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/text_page.h"

#include <algorithm>
#include <utility>

#include "userspace/export/utf8.h"

namespace sonde {
namespace {

constexpr int kUnknownWidth = 100;
constexpr int kMinWidth = 80;
constexpr size_t kMaxLabelWidth = 24;

std::string_view escape_sequence(Paint paint)
{
    switch (paint) {
        case Paint::kBold:
            return "\x1b[1m";
        case Paint::kDim:
            return "\x1b[2m";
        case Paint::kYellow:
            return "\x1b[33m";
        case Paint::kRed:
            return "\x1b[31m";
        case Paint::kPlain:
            break;
    }
    return "";
}

// Takes the first line, at most `columns` wide, off the text: cut at the last space that fits, or within a
// word that is longer than a line.
std::string take_line(std::string& text, size_t columns)
{
    if (display_width(text) <= columns) {
        return std::exchange(text, "");
    }
    std::string fitting = first_columns(text, columns);
    const size_t space = text[fitting.size()] == ' ' ? fitting.size() : fitting.rfind(' ');
    if (space != std::string::npos && space > 0) {
        fitting.resize(space);
    }
    text.erase(0, fitting.size());
    text.erase(0, text.find_first_not_of(' '));
    return fitting;
}

}  // namespace

TextPage::TextPage(const TextStyle& style)
    : style_(style), width_(style.width == 0 ? kUnknownWidth : std::max(style.width, kMinWidth))
{}

size_t TextPage::shown(size_t rows) const
{
    const int most = style_.max_rows_per_measurement;
    return most <= 0 ? rows : std::min(rows, static_cast<size_t>(most));
}

std::string TextPage::visible(std::string_view bytes) const
{
    return style_.utf8 ? printable(bytes) : printable_ascii(bytes);
}

std::string TextPage::cut(std::string_view text, size_t columns) const
{
    return truncate(text, columns, style_.utf8 ? "…" : "~");
}

std::string TextPage::label(std::string_view bytes) const
{
    return bytes.empty() ? "-" : cut(visible(bytes), kMaxLabelWidth);
}

void TextPage::line(Paint paint, std::string_view text)
{
    const std::string_view color = style_.color ? escape_sequence(paint) : "";
    out_ += color;
    out_ += visible(text);
    out_ += color.empty() ? "\n" : "\x1b[0m\n";
}

void TextPage::paragraph(Paint paint, size_t indent, std::string_view text)
{
    std::string rest = visible(text);
    size_t margin = indent;
    do {
        line(paint, std::string(margin, ' ') + take_line(rest, static_cast<size_t>(width_) - margin));
        margin = indent + 2;
    } while (!rest.empty());
}

void TextPage::more(size_t hidden)
{
    if (hidden != 0) {
        line(Paint::kDim, "  ... and " + std::to_string(hidden) + " more (--all shows them)");
    }
}

}  // namespace sonde
