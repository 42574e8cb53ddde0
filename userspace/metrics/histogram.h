// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace sonde {

// A distribution of durations in base-2 exponential buckets of schema 4, as in Prometheus native histograms
// and OTLP: bucket i holds the values in (2^((i-1)/16), 2^(i/16)] seconds; zero has its own counter. Sum, min
// and max are in nanoseconds and exact; merging is exact. A plain value: copy it, compare it; no thread rule.
struct Histogram {
    static constexpr int kSchema = 4;

    // A quantile is returned as the geometric middle of the bucket that holds its rank, limited to [min, max],
    // so it is off by at most this fraction of the true value: 2^(1/32) - 1. Of a rank among the clamped values
    // only the lower bound is known.
    static constexpr double kRelativeError = 0.021897148654116678;

    std::map<int, uint64_t> buckets;  // index -> count; no entry has count 0
    uint64_t zero_count = 0;
    uint64_t clamped = 0;  // of the count: values above the range, put into the last bucket
    uint64_t sum_ns = 0;
    uint64_t min_ns = 0;  // of no meaning while count() is 0
    uint64_t max_ns = 0;

    [[nodiscard]] uint64_t count() const;
    [[nodiscard]] bool empty() const { return zero_count == 0 && buckets.empty(); }

    // Puts one value in, with the same index as the BPF programs.
    void record(uint64_t ns);
    void merge(const Histogram& other);

    // Value in seconds of the ceil(q * count)-th smallest value, within kRelativeError. Empty histogram: none.
    // REQUIRES: 0 <= q <= 1.
    [[nodiscard]] std::optional<double> quantile(double q) const;

    // The sum nearest to this one that the buckets and extremes allow.
    [[nodiscard]] uint64_t nearest_sum(int64_t wanted_ns) const;

    // Upper bound of a bucket, in seconds.
    [[nodiscard]] static double upper_bound(int index);

    // Index of the last bucket; what is larger is clamped into it.
    static const int kLastIndex;

    friend bool operator==(const Histogram&, const Histogram&) = default;
};

// What came between two readings of the same growing histogram. Min and max cannot be known for an interval alone: they
// are those of `now`, narrowed to the bounds of the outermost buckets that grew. REQUIRES: every counter of `now` is >=
// the one of `before`.
[[nodiscard]] Histogram delta(const Histogram& now, const Histogram& before);

}  // namespace sonde
