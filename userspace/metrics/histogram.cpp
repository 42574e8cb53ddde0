// SPDX-License-Identifier: Apache-2.0
#include "userspace/metrics/histogram.h"

#include <algorithm>
#include <cmath>

#include "bpf/abi/hist.h"

namespace sonde {
namespace {

constexpr double kNsPerSecond = 1e9;

// Whole nanoseconds up to a bound. As a lower bound, which is not in its bucket, it is too low by one at most.
uint64_t to_ns(double seconds)
{
    return static_cast<uint64_t>(seconds * kNsPerSecond);
}

}  // namespace

const int Histogram::kLastIndex = SONDE_HIST_CELLS - 1 - SONDE_HIST_INDEX_OFFSET;
static_assert(Histogram::kSchema == SONDE_HIST_SCHEMA);

uint64_t Histogram::count() const
{
    uint64_t total = zero_count;
    for (const auto& [index, n] : buckets) {
        total += n;
    }
    return total;
}

void Histogram::record(uint64_t ns)
{
    min_ns = empty() ? ns : std::min(min_ns, ns);
    max_ns = std::max(max_ns, ns);
    sum_ns += ns;
    if (ns == 0) {
        ++zero_count;
        return;
    }
    const uint32_t cell = sonde_hist__cell(ns);
    if (cell == SONDE_HIST_CELL_ABOVE) {
        ++buckets[kLastIndex];
        ++clamped;
        return;
    }
    ++buckets[static_cast<int>(cell) - SONDE_HIST_INDEX_OFFSET];
}

void Histogram::merge(const Histogram& other)
{
    if (other.empty()) {
        return;
    }
    min_ns = empty() ? other.min_ns : std::min(min_ns, other.min_ns);
    max_ns = std::max(max_ns, other.max_ns);
    sum_ns += other.sum_ns;
    zero_count += other.zero_count;
    clamped += other.clamped;
    for (const auto& [index, n] : other.buckets) {
        buckets[index] += n;
    }
}

double Histogram::upper_bound(int index)
{
    return std::exp2(index / 16.0);
}

std::optional<double> Histogram::quantile(double q) const
{
    const uint64_t total = count();
    if (total == 0) {
        return std::nullopt;
    }
    const auto rank = std::clamp<uint64_t>(static_cast<uint64_t>(std::ceil(q * static_cast<double>(total))), 1, total);
    uint64_t seen = zero_count;
    if (rank <= seen) {
        return 0.0;
    }
    for (const auto& [index, n] : buckets) {
        seen += n;
        if (rank <= seen) {
            const double middle = std::exp2((index - 0.5) / 16.0);
            return std::clamp(middle, static_cast<double>(min_ns) / kNsPerSecond,
                              static_cast<double>(max_ns) / kNsPerSecond);
        }
    }
    return static_cast<double>(max_ns) / kNsPerSecond;
}

uint64_t Histogram::nearest_sum(int64_t wanted_ns) const
{
    // Each value lies in its bucket, and between the extremes.
    constexpr double kMost = 9e18;
    double least = 0, most = 0;
    for (const auto& [index, n] : buckets) {
        const auto count = static_cast<double>(n);
        least += count * std::max(upper_bound(index - 1) * kNsPerSecond, static_cast<double>(min_ns));
        most +=
            count * (index == kLastIndex ? static_cast<double>(max_ns)
                                         : std::min(upper_bound(index) * kNsPerSecond, static_cast<double>(max_ns)));
    }
    return static_cast<uint64_t>(
        std::clamp(wanted_ns, static_cast<int64_t>(std::min(std::ceil(least), kMost)),
                   static_cast<int64_t>(std::min(std::max(std::ceil(least), std::floor(most)), kMost))));
}

Histogram delta(const Histogram& now, const Histogram& before)
{
    Histogram d;
    d.zero_count = now.zero_count - before.zero_count;
    d.clamped = now.clamped - before.clamped;
    d.sum_ns = now.sum_ns - before.sum_ns;
    for (const auto& [index, n] : now.buckets) {
        const auto old = before.buckets.find(index);
        const uint64_t grown = n - (old == before.buckets.end() ? 0 : old->second);
        if (grown != 0) {
            d.buckets[index] = grown;
        }
    }
    if (d.empty()) {
        return d;
    }
    if (d.zero_count == 0) {
        d.min_ns = std::max(to_ns(Histogram::upper_bound(d.buckets.begin()->first - 1)), now.min_ns);
    }
    if (!d.buckets.empty()) {
        const uint64_t highest = to_ns(Histogram::upper_bound(d.buckets.rbegin()->first));
        d.max_ns = std::max(d.min_ns, d.clamped != 0 ? now.max_ns : std::min(highest, now.max_ns));
    }
    return d;
}

}  // namespace sonde
