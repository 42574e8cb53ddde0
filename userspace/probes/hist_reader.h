// SPDX-License-Identifier: Apache-2.0
//
// Reading of the histograms that BPF programs keep (bpf/abi/hist.h): rows and chunks are looked at through
// read-only mappings, without a system call per entry, a window at a time so that the maps do not count
// as this process's memory. Nothing is ever cleared, so nothing is lost; a value that is being recorded at that
// moment may show in the sum and not yet in a bucket, or the other way round.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_set>
#include <vector>

#include "bpf/abi/hist.h"
#include "userspace/base/result.h"
#include "userspace/metrics/histogram.h"

namespace sonde {

// Part of a BPF array map, mapped for reading. Move-only.
class MapWindow {
  public:
    // Elements [first, first + count) of the map behind `fd`. REQUIRES: they exist; the map is mmapable.
    static Result<MapWindow> open(int fd, size_t element_size, size_t first, size_t count);
    MapWindow(MapWindow&& other) noexcept;
    MapWindow& operator=(MapWindow&&) = delete;
    ~MapWindow();

    // The i-th element of the window.
    template <class T>
    [[nodiscard]] const T& at(size_t i) const
    {
        return *reinterpret_cast<const T*>(elements_ + i * element_size_);
    }

  private:
    MapWindow(void* base, size_t length, const std::byte* elements, size_t element_size)
        : base_(base), length_(length), elements_(elements), element_size_(element_size)
    {}
    void* base_;
    size_t length_;
    const std::byte* elements_;
    size_t element_size_;
};

// Collects rows and then fetches their chunks in the order of the pool.
class HistReader {
  public:
    explicit HistReader(int chunks_fd) : chunks_fd_(chunks_fd) {}

    // Adds a row to a histogram: sum and extremes at once, buckets when fetch() is called. `into` must stay where it is
    // until then.
    void add(const sonde_hist_row& row, Histogram& into);
    Status fetch();

  private:
    struct Request {
        uint32_t chunk;
        uint32_t octave;
        Histogram* into;
    };
    int chunks_fd_;
    std::vector<Request> requests_;
    std::unordered_set<const Histogram*> begun_;  // have min and max, but no counts yet
};

// A row whose chunks are numbers first, first + 1, ...: for series that must never be without.
[[nodiscard]] sonde_hist_row row_with_chunks(uint32_t first);

}  // namespace sonde
