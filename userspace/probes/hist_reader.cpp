// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/hist_reader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>
#include <utility>

namespace sonde {
namespace {

constexpr size_t kWindowChunks = 8192;  // 1 MiB

void add_cell(uint32_t cell, uint64_t count, Histogram& into)
{
    if (cell == SONDE_HIST_CELL_ZERO) {
        into.zero_count += count;
        return;
    }
    if (cell == SONDE_HIST_CELL_ABOVE) {
        into.clamped += count;
    }
    into.buckets[std::min(static_cast<int>(cell) - SONDE_HIST_INDEX_OFFSET, Histogram::kLastIndex)] += count;
}

// A row is read before its buckets, and values come meanwhile: the extremes are made to hold the buckets.
void widen_to_buckets(Histogram& h)
{
    if (h.zero_count != 0) {
        h.min_ns = 0;
    }
    if (h.buckets.empty()) {
        return;
    }
    const auto bound_ns = [](int index) { return static_cast<uint64_t>(Histogram::upper_bound(index) * 1e9); };
    h.min_ns = std::min(h.min_ns, bound_ns(h.buckets.begin()->first));
    h.max_ns = std::max(h.max_ns, bound_ns(h.buckets.rbegin()->first - 1));
}

}  // namespace

Result<MapWindow> MapWindow::open(int fd, size_t element_size, size_t first, size_t count)
{
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t begin = first * element_size;
    const size_t offset = begin / page * page;
    const size_t length = begin + count * element_size - offset;
    void* base = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(offset));
    if (base == MAP_FAILED) {
        return Error::from_errno(errno, "map a BPF array");
    }
    return MapWindow(base, length, static_cast<const std::byte*>(base) + (begin - offset), element_size);
}

MapWindow::MapWindow(MapWindow&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      length_(other.length_),
      elements_(other.elements_),
      element_size_(other.element_size_)
{}

MapWindow::~MapWindow()
{
    if (base_ != nullptr) {
        munmap(base_, length_);
    }
}

void HistReader::add(const sonde_hist_row& row, Histogram& into)
{
    if (row.min_inverted == 0) {
        return;  // nothing recorded yet
    }
    // Not Histogram::merge: whether `into` is empty cannot be seen from buckets that are not fetched yet.
    const uint64_t min_ns = ~row.min_inverted;
    const bool first = begun_.insert(&into).second && into.empty();
    into.min_ns = first ? min_ns : std::min(into.min_ns, min_ns);
    into.max_ns = std::max<uint64_t>(into.max_ns, row.max_ns);
    into.sum_ns += row.sum_ns;
    for (uint32_t at = 0; at < SONDE_HIST_CHUNKS; ++at) {
        if (row.chunk[at] != SONDE_HIST_NO_CHUNK) {
            requests_.push_back({row.chunk[at], sonde_hist__octave_at(at), &into});
        }
    }
}

Status HistReader::fetch()
{
    std::sort(requests_.begin(), requests_.end(), [](const Request& a, const Request& b) { return a.chunk < b.chunk; });
    std::optional<MapWindow> window;
    size_t window_begin = 0;
    size_t window_end = 0;
    for (size_t i = 0; i < requests_.size(); ++i) {
        const Request& request = requests_[i];
        if (request.chunk >= window_end) {
            window.reset();
            // No further than the last chunk wanted: the window must not reach past the end of the map.
            window_begin = request.chunk;
            window_end = std::min<size_t>(window_begin + kWindowChunks, requests_.back().chunk + 1);
            Result<MapWindow> opened =
                MapWindow::open(chunks_fd_, sizeof(sonde_hist_chunk), window_begin, window_end - window_begin);
            if (!opened) {
                return opened.error();
            }
            window.emplace(std::move(*opened));
        }
        const auto& chunk = window->at<sonde_hist_chunk>(request.chunk - window_begin);
        for (uint32_t j = 0; j < SONDE_HIST_SUB_BUCKETS; ++j) {
            if (chunk.bucket[j] != 0) {
                add_cell(request.octave * SONDE_HIST_SUB_BUCKETS + j, chunk.bucket[j], *request.into);
            }
        }
    }
    for (const Request& request : requests_) {
        widen_to_buckets(*request.into);
    }
    requests_.clear();
    begun_.clear();
    return ok();
}

sonde_hist_row row_with_chunks(uint32_t first)
{
    sonde_hist_row row{};
    std::iota(std::begin(row.chunk), std::end(row.chunk), first);
    return row;
}

}  // namespace sonde
