// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace sonde {

// A view of bytes that may come from anybody: what is asked for beyond their end is nothing, never an access. Numbers
// are read in the byte order of this machine, at any alignment. Refers to the bytes, which must outlive it.
class Bytes {
  public:
    Bytes() = default;
    explicit Bytes(std::span<const char> bytes) : bytes_(bytes) {}

    [[nodiscard]] uint64_t size() const { return bytes_.size(); }
    [[nodiscard]] const char* data() const { return bytes_.data(); }

    template <class T>
    [[nodiscard]] std::optional<T> at(uint64_t offset) const
    {
        if (offset > size() || size() - offset < sizeof(T)) {
            return std::nullopt;
        }
        T value{};
        std::memcpy(&value, bytes_.data() + offset, sizeof(T));
        return value;
    }

    // As much of [offset, offset + length) as there is.
    [[nodiscard]] Bytes part(uint64_t offset, uint64_t length = UINT64_MAX) const
    {
        if (offset >= size()) {
            return {};
        }
        return Bytes(bytes_.subspan(offset, length < size() - offset ? length : size() - offset));
    }

    // Longer names than any program has; without a limit, a table of names without an end would take hours.
    static constexpr uint64_t kMaxString = 16384;

    // Up to a NUL, which must be there within kMaxString.
    [[nodiscard]] std::optional<std::string_view> string_at(uint64_t offset) const
    {
        if (offset >= size()) {
            return std::nullopt;
        }
        const char* begin = bytes_.data() + offset;
        const void* end = std::memchr(begin, 0, std::min(size() - offset, kMaxString));
        if (end == nullptr) {
            return std::nullopt;
        }
        return std::string_view(begin, static_cast<size_t>(static_cast<const char*>(end) - begin));
    }

    [[nodiscard]] std::string_view view() const { return {bytes_.data(), bytes_.size()}; }

  private:
    std::span<const char> bytes_;
};

}  // namespace sonde
