// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sonde::cli {

inline constexpr const char* kGreen = "\033[32m";
inline constexpr const char* kYellow = "\033[33m";
inline constexpr const char* kRed = "\033[31m";
inline constexpr const char* kDim = "\033[2m";
inline constexpr const char* kBold = "\033[1m";

// Puts text between the escape sequences of a colour, or leaves it as it is.
class Paint {
  public:
    explicit Paint(bool on) : on_(on) {}
    std::string operator()(const char* color, const std::string& text) const
    {
        return on_ ? color + text + "\033[0m" : text;
    }

  private:
    bool on_;
};

// With spaces behind it, one at least.
inline std::string pad(const std::string& text, size_t width)
{
    return text + std::string(width > text.size() ? width - text.size() : 1, ' ');
}

inline std::string pad_left(const std::string& text, size_t width)
{
    return std::string(width > text.size() ? width - text.size() : 0, ' ') + text;
}

}  // namespace sonde::cli
