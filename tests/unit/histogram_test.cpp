// SPDX-License-Identifier: Apache-2.0
//
// The encoding is compared with one of integer thresholds: bucket i takes the values up to
// floor(2^(i/16) * 10^9) ns. A long double gives that floor without doubt where the bound is far enough from
// an integer (checked here) or exact (every 16th bound is 10^9 * 2^k).
#include "userspace/metrics/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "bpf/abi/hist.h"
#include "tests/unit/export_sample.h"

namespace sonde {
namespace {

constexpr int kFirst = -478;
constexpr int kLast = 177;
constexpr uint64_t kLargest = 2138672706411;  // floor(2^(177/16) * 10^9)
constexpr uint64_t kSecond = 1000000000;

long double bound_ns(int i)
{
    return i % 16 == 0 ? std::ldexp(1e9L, i / 16) : std::exp2(i / 16.0L) * 1e9L;
}

class Reference {
  public:
    Reference()
    {
        for (int i = kFirst; i <= kLast; ++i) {
            last_.push_back(static_cast<uint64_t>(std::floor(bound_ns(i))));
        }
    }

    // kLast + 1 for values above the range.
    [[nodiscard]] int index(uint64_t ns) const
    {
        return kFirst + static_cast<int>(std::lower_bound(last_.begin(), last_.end(), ns) - last_.begin());
    }

  private:
    std::vector<uint64_t> last_;  // largest value of every bucket
};

const Reference& reference()
{
    static const Reference kReference;
    return kReference;
}

int index_of(uint64_t ns)
{
    return static_cast<int>(sonde_hist__cell(ns)) - SONDE_HIST_INDEX_OFFSET;
}

void expect_same_index(uint64_t ns)
{
    if (ns == 0) {
        return;
    }
    EXPECT_EQ(std::min(index_of(ns), kLast + 1), reference().index(ns)) << ns << " ns";
}

void expect_same_index_around(uint64_t ns)
{
    for (const uint64_t value : {ns - 1, ns, ns + 1}) {
        expect_same_index(value);
    }
}

std::vector<uint64_t> random_latencies(size_t count, uint64_t seed)
{
    std::mt19937_64 random(seed);
    std::lognormal_distribution<double> latency(std::log(20000.0), 2.5);
    std::vector<uint64_t> values;
    while (values.size() < count) {
        values.push_back(static_cast<uint64_t>(std::min(latency(random), 2e12)));
    }
    return values;
}

Histogram recorded(const std::vector<uint64_t>& values)
{
    Histogram h;
    for (const uint64_t ns : values) {
        h.record(ns);
    }
    return h;
}

TEST(HistogramIndex, ReferenceThresholdsAreUnambiguous)
{
    for (int i = kFirst; i <= kLast; ++i) {
        const long double bound = bound_ns(i);
        EXPECT_TRUE(i % 16 == 0 || std::fabs(bound - std::round(bound)) > 1e-4L) << "bucket " << i;
    }
    EXPECT_EQ(static_cast<uint64_t>(bound_ns(kLast)), kLargest);
    EXPECT_EQ(SONDE_HIST_CELLS - 1 - SONDE_HIST_INDEX_OFFSET, kLast);
    EXPECT_EQ(-SONDE_HIST_INDEX_OFFSET, kFirst);
}

TEST(HistogramIndex, OneSecondIsTheUpperBoundOfBucketZero)
{
    EXPECT_EQ(index_of(kSecond), 0);
    EXPECT_EQ(index_of(kSecond + 1), 1);
    EXPECT_EQ(index_of(2 * kSecond), 16);
    EXPECT_EQ(index_of(kSecond / 2), -16);
    EXPECT_EQ(index_of(kSecond / 512), -144);  // 2^-9 s, the last that is a whole number of ns
    EXPECT_EQ(index_of(1), kFirst);
}

TEST(HistogramIndex, AgreesAroundEveryOctaveOfNanoseconds)
{
    for (int k = 0; k <= 41; ++k) {
        expect_same_index_around(uint64_t{1} << k);
    }
}

TEST(HistogramIndex, AgreesAroundEveryBucketBound)
{
    for (int i = kFirst; i <= kLast; ++i) {
        expect_same_index_around(static_cast<uint64_t>(std::floor(bound_ns(i))));
    }
}

TEST(HistogramIndex, AgreesAroundPowersOfTen)
{
    for (uint64_t ns = 1; ns <= 1000 * kSecond; ns *= 10) {
        expect_same_index_around(ns);
    }
}

TEST(HistogramIndex, AgreesForEveryValueUpToAMillisecond)
{
    for (uint64_t ns = 1; ns <= 1000000; ++ns) {
        ASSERT_EQ(index_of(ns), reference().index(ns)) << ns << " ns";
    }
}

TEST(HistogramIndex, AgreesForFourMillionRandomValues)
{
    constexpr uint64_t kSeed = 20260131;
    constexpr uint64_t kEnd = uint64_t{1} << 41;
    std::mt19937_64 random(kSeed);
    std::uniform_int_distribution<uint64_t> uniform(1, kEnd);
    std::uniform_real_distribution<double> octave(0, 41);
    for (int i = 0; i < 2000000; ++i) {
        const uint64_t a = uniform(random);
        ASSERT_EQ(std::min(index_of(a), kLast + 1), reference().index(a)) << a << " ns";
        const auto b = static_cast<uint64_t>(std::exp2(octave(random)));
        ASSERT_EQ(std::min(index_of(b), kLast + 1), reference().index(b)) << b << " ns";
    }
}

TEST(HistogramIndex, LargerValuesLieBeyondTheLastCell)
{
    for (int k = 41; k < 64; ++k) {
        EXPECT_GE(sonde_hist__cell(uint64_t{1} << k), SONDE_HIST_CELLS);
    }
    EXPECT_GE(sonde_hist__cell(UINT64_MAX), SONDE_HIST_CELLS);
}

TEST(Histogram, ZeroHasItsOwnCounter)
{
    const Histogram h = histogram_of({{0, 3}, {7, 1}});
    EXPECT_EQ(h.zero_count, 3U);
    EXPECT_EQ(h.count(), 4U);
    EXPECT_EQ(h.min_ns, 0U);
    EXPECT_EQ(h.max_ns, 7U);
    EXPECT_EQ(h.sum_ns, 7U);
    EXPECT_EQ(h.quantile(0.75), 0.0);
    EXPECT_GT(h.quantile(0.76), 0.0);
}

TEST(Histogram, ClampsWhatLiesAboveTheRangeAndCountsIt)
{
    const Histogram h = histogram_of({{kLargest, 1}, {kLargest + 1, 1}, {UINT64_MAX / 4, 1}});
    EXPECT_EQ(h.buckets, (std::map<int, uint64_t>{{kLast, 3}}));
    EXPECT_EQ(h.clamped, 2U);
    EXPECT_EQ(h.sum_ns, 2 * kLargest + 1 + UINT64_MAX / 4);
    EXPECT_EQ(h.max_ns, UINT64_MAX / 4);
    EXPECT_EQ(h.min_ns, kLargest);
}

TEST(Histogram, UpperBoundsAreThoseOfTheSchema)
{
    EXPECT_EQ(Histogram::upper_bound(0), 1.0);
    EXPECT_EQ(Histogram::upper_bound(16), 2.0);
    EXPECT_EQ(Histogram::upper_bound(-320), 0x1p-20);
    EXPECT_NEAR(Histogram::upper_bound(8), 1.4142135623730951, 1e-15);
    EXPECT_NEAR(Histogram::kRelativeError, 0.02189714865411667823, 1e-15);
}

TEST(Histogram, MergingIsTheSameAsRecordingEverything)
{
    const std::vector<uint64_t> a = random_latencies(5000, 1);
    const std::vector<uint64_t> b = random_latencies(3000, 2);
    std::vector<uint64_t> both = a;
    both.insert(both.end(), b.begin(), b.end());
    Histogram merged = recorded(a);
    merged.merge(recorded(b));
    EXPECT_EQ(merged, recorded(both));
}

TEST(Histogram, MergingAnEmptyOneChangesNothing)
{
    Histogram h = histogram_of({{5000, 2}});
    h.merge(Histogram());
    EXPECT_EQ(h, histogram_of({{5000, 2}}));
    Histogram empty;
    empty.merge(h);
    EXPECT_EQ(empty, h);
}

TEST(HistogramDelta, HasTheCountersOfTheInterval)
{
    const std::vector<uint64_t> early = random_latencies(4000, 3);
    const std::vector<uint64_t> late = random_latencies(2500, 4);
    const Histogram before = recorded(early);
    Histogram now = before;
    now.merge(recorded(late));
    const Histogram d = delta(now, before);
    const Histogram truth = recorded(late);
    EXPECT_EQ(d.buckets, truth.buckets);
    EXPECT_EQ(d.sum_ns, truth.sum_ns);
    EXPECT_EQ(d.zero_count, truth.zero_count);
    EXPECT_LE(d.min_ns, truth.min_ns);
    EXPECT_GE(d.max_ns, truth.max_ns);
}

TEST(HistogramDelta, NarrowsMinAndMaxToTheBucketsThatGrew)
{
    const Histogram before = histogram_of({{1000, 1}, {5000000, 1}});
    Histogram now = before;
    now.record(70000);
    const Histogram d = delta(now, before);
    // 70 us lies in bucket -220, (69.506..., 72.583...] us: 2^(-221/16) and 2^(-220/16) seconds.
    EXPECT_EQ(d.buckets, (std::map<int, uint64_t>{{-220, 1}}));
    EXPECT_NEAR(static_cast<double>(d.min_ns), 1e9 * std::pow(2.0, -221 / 16.0), 1);
    EXPECT_NEAR(static_cast<double>(d.max_ns), 1e9 * std::pow(2.0, -220 / 16.0), 1);
}

TEST(HistogramDelta, KnowsExtremesThatMovedExactly)
{
    const Histogram before = histogram_of({{1000, 1}, {5000, 1}});
    Histogram now = before;
    now.record(900);
    now.record(70000);
    const Histogram d = delta(now, before);
    EXPECT_EQ(d.min_ns, 900U);
    EXPECT_EQ(d.max_ns, 70000U);
    EXPECT_EQ(delta(now, Histogram()), now);
}

TEST(HistogramDelta, OfNothingIsEmpty)
{
    const Histogram h = histogram_of({{1000, 4}, {0, 1}});
    EXPECT_TRUE(delta(h, h).empty());
    EXPECT_EQ(delta(h, h), Histogram());
}

TEST(HistogramQuantile, IsWithinItsErrorOfTheSortedSample)
{
    for (const size_t size : {1U, 2U, 10U, 999U, 1000U, 100001U}) {
        std::vector<uint64_t> values = random_latencies(size, 5 + size);
        const Histogram h = recorded(values);
        std::sort(values.begin(), values.end());
        for (const uint64_t per_mille : {1U, 250U, 500U, 900U, 990U, 999U, 1000U}) {
            const size_t rank = (per_mille * size + 999) / 1000;  // ceil, in integers
            const double truth = static_cast<double>(values[rank - 1]) / 1e9;
            const double q = static_cast<double>(per_mille) / 1000;
            EXPECT_NEAR(h.quantile(q).value(), truth, truth * Histogram::kRelativeError * (1 + 1e-12))
                << "q " << q << " of " << size;
        }
    }
}

TEST(HistogramQuantile, NeverLeavesMinAndMax)
{
    const Histogram one = histogram_of({{123456, 9}});
    EXPECT_EQ(one.quantile(0), 123456 / 1e9);
    EXPECT_EQ(one.quantile(1), 123456 / 1e9);
    EXPECT_FALSE(Histogram().quantile(0.5).has_value());
}

}  // namespace
}  // namespace sonde
