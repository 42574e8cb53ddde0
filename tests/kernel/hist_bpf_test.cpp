// SPDX-License-Identifier: Apache-2.0
//
// The histogram code as the kernel runs it, against the same code compiled for user space (which the unit tests
// compare with long double arithmetic).
#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "bpf/abi/hist.h"
#include "tests/kernel/load_run.h"
#include "tests/kernel/tracer.h"
#include "userspace/metrics/histogram.h"
#include "userspace/probes/hist_reader.h"
#include "userspace/probes/libbpf_ptr.h"
#include "userspace/probes/skeleton_types.h"

#include "hist_test.skel.h"  // after skeleton_types.h

namespace sonde::test {
namespace {

class HistBpf : public KernelTest {
  protected:
    // With a pool of `chunks` chunks; number 0 is never handed out.
    void load(uint32_t chunks)
    {
        skel_.reset(hist_test_bpf__open());
        ASSERT_NE(skel_, nullptr);
        bpf_map__set_max_entries(skel_->maps.hist_chunks, chunks);
        bpf_map__set_max_entries(skel_->maps.hist_free, chunks);
        skel_->rodata->hist_nr_chunks = chunks;
        ASSERT_EQ(hist_test_bpf__load(skel_.get()), 0);
    }

    void run(bpf_program* program, const uint64_t* values, size_t count)
    {
        std::copy_n(values, count, skel_->bss->values);
        skel_->bss->nr_values = static_cast<uint32_t>(count);
        LIBBPF_OPTS(bpf_test_run_opts, options);
        ASSERT_EQ(bpf_prog_test_run_opts(bpf_program__fd(program), &options), 0);
    }

    void run_all(bpf_program* program, const std::vector<uint64_t>& values)
    {
        for (size_t i = 0; i < values.size(); i += batch()) {
            run(program, &values[i], std::min(batch(), values.size() - i));
        }
    }

    void expect_equal_cells(const std::vector<uint64_t>& values)
    {
        for (size_t i = 0; i < values.size(); i += batch()) {
            const size_t count = std::min(batch(), values.size() - i);
            run(skel_->progs.hist_cells, &values[i], count);
            for (size_t j = 0; j < count; ++j) {
                ASSERT_EQ(skel_->bss->cells[j], sonde_hist__cell(values[i + j])) << values[i + j] << " ns";
            }
        }
    }

    [[nodiscard]] size_t batch() const { return std::size(skel_->bss->values); }

    [[nodiscard]] Histogram read(const sonde_hist_row& row) const
    {
        Histogram histogram;
        HistReader reader(bpf_map__fd(skel_->maps.hist_chunks));
        reader.add(row, histogram);
        EXPECT_TRUE(reader.fetch());
        return histogram;
    }

    SkelPtr<hist_test_bpf> skel_;
};

// Every magnitude is equally likely.
std::vector<uint64_t> random_values(size_t count, uint32_t bits)
{
    std::mt19937_64 random(20240607);
    std::vector<uint64_t> values(count);
    for (uint64_t& value : values) {
        value = std::max<uint64_t>(random() >> (64 - bits + random() % bits), 1);
    }
    return values;
}

TEST_F(HistBpf, FindsTheCellAroundOctaveBoundaries)
{
    load(2);
    std::vector<uint64_t> values{1, 2, 3, UINT64_MAX - 1, UINT64_MAX};
    for (uint32_t octave = 2; octave < 64; ++octave) {
        const uint64_t boundary = uint64_t{1} << octave;
        values.insert(values.end(), {boundary - 1, boundary, boundary + 1});
    }
    expect_equal_cells(values);
}

TEST_F(HistBpf, FindsTheCellAroundEveryBucketBound)
{
    load(2);
    std::vector<uint64_t> values;
    for (int index = -300; index < 176; ++index) {
        const auto bound = static_cast<uint64_t>(Histogram::upper_bound(index) * 1e9);
        values.insert(values.end(), {bound - 1, bound, bound + 1});
    }
    expect_equal_cells(values);
}

TEST_F(HistBpf, PutsExactlyOneSecondIntoTheBucketThatEndsThere)
{
    load(2);
    const std::vector<uint64_t> values{999'999'999, 1'000'000'000, 1'000'000'001};
    run_all(skel_->progs.hist_cells, values);
    EXPECT_EQ(skel_->bss->cells[0], SONDE_HIST_INDEX_OFFSET);
    EXPECT_EQ(skel_->bss->cells[1], SONDE_HIST_INDEX_OFFSET);
    EXPECT_EQ(skel_->bss->cells[2], SONDE_HIST_INDEX_OFFSET + 1);
}

TEST_F(HistBpf, FindsTheCellOfAMillionRandomValues)
{
    load(2);
    expect_equal_cells(random_values(1'000'000, 64));
}

TEST_F(HistBpf, RecordsAsUserSpaceDoes)
{
    load(2 * SONDE_HIST_CHUNKS + 1);
    std::vector<uint64_t> values = random_values(100'000, 43);  // some above the range
    values.insert(values.end(), {0, 0, 1, uint64_t{1} << 41, (uint64_t{1} << 41) - 1});
    Histogram expected;
    for (const uint64_t value : values) {
        expected.record(value);
    }
    run_all(skel_->progs.hist_record, values);
    EXPECT_EQ(skel_->bss->refused, 0U);
    EXPECT_EQ(read(skel_->bss->local_row), expected);
    EXPECT_EQ(read(skel_->bss->shared_row), expected);
}

TEST_F(HistBpf, AddsRowsWhoseValuesAreAllZero)
{
    load(2 * SONDE_HIST_CHUNKS + 1);
    run_all(skel_->progs.hist_record, {0, 0});
    const sonde_hist_row zeros = skel_->bss->local_row;
    skel_->bss->local_row = sonde_hist_row{};
    run_all(skel_->progs.hist_record, {5, 7});
    Histogram sum;
    HistReader reader(bpf_map__fd(skel_->maps.hist_chunks));
    reader.add(zeros, sum);
    reader.add(skel_->bss->local_row, sum);
    ASSERT_TRUE(reader.fetch());
    Histogram expected;
    for (const uint64_t value : {0, 0, 5, 7}) {
        expected.record(value);
    }
    EXPECT_EQ(sum, expected);
}

TEST_F(HistBpf, RefusesAValueWhenNoChunkIsFreeAndRecordsNothingOfIt)
{
    load(3);  // two to hand out: one for each row
    const std::vector<uint64_t> values{1000, 1001, 5'000'000};
    run_all(skel_->progs.hist_record, values);
    EXPECT_EQ(skel_->bss->refused, 2U);
    Histogram expected;
    expected.record(1000);
    expected.record(1001);
    EXPECT_EQ(read(skel_->bss->local_row), expected);
    EXPECT_EQ(read(skel_->bss->shared_row), expected);
}

TEST_F(HistBpf, TakesChunksThatWereGivenBack)
{
    load(3);
    const auto chunk_at = [](uint64_t ns) {
        return sonde_hist__chunk_at(sonde_hist__cell(ns) / SONDE_HIST_SUB_BUCKETS);
    };
    run_all(skel_->progs.hist_record, {1000});
    uint32_t& used = skel_->bss->shared_row.chunk[chunk_at(1000)];
    const uint32_t returned = used;
    ASSERT_NE(returned, uint32_t{SONDE_HIST_NO_CHUNK});
    used = SONDE_HIST_NO_CHUNK;
    ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skel_->maps.hist_free), nullptr, &returned, BPF_ANY), 0);
    run_all(skel_->progs.hist_record, {1'000'000});
    EXPECT_EQ(skel_->bss->local_row.chunk[chunk_at(1'000'000)], returned);
    EXPECT_EQ(skel_->bss->refused, 1U);
}

}  // namespace
}  // namespace sonde::test
