// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "userspace/export/text.h"

namespace sonde {

enum class Paint { kPlain, kBold, kDim, kYellow, kRed };

// Collects the lines of a report for a terminal: colours, wraps, and makes every line printable, whatever it
// was given: the only way out. For one thread.
class TextPage {
  public:
    explicit TextPage(const TextStyle& style);

    [[nodiscard]] int width() const { return width_; }
    [[nodiscard]] bool utf8() const { return style_.utf8; }
    // How many of `rows` may be shown.
    [[nodiscard]] size_t shown(size_t rows) const;

    // A name from outside as it may stand in a table: printable, at most 24 columns; "-" if empty.
    [[nodiscard]] std::string label(std::string_view bytes) const;
    // The same text as it will appear, so that its width can be measured.
    [[nodiscard]] std::string visible(std::string_view bytes) const;
    // Cut to a number of columns. REQUIRES: visible text, columns >= 1.
    [[nodiscard]] std::string cut(std::string_view text, size_t columns) const;

    void blank() { out_ += '\n'; }
    // One line. REQUIRES: it is not wider than width().
    void line(Paint paint, std::string_view text);
    // Text wrapped at spaces to the width; all lines start `indent` columns to the right, all but the first
    // two more.
    void paragraph(Paint paint, size_t indent, std::string_view text);
    // "... and N more (--all shows them)", unless N is 0.
    void more(size_t hidden);

    [[nodiscard]] std::string take() { return std::move(out_); }

  private:
    TextStyle style_;
    int width_;
    std::string out_;
};

}  // namespace sonde
