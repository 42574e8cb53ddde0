// SPDX-License-Identifier: Apache-2.0
//
// The ways in which the scheduler probe can be loaded, as parameters of tests.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "tests/kernel/tracer.h"

namespace sonde::test {

struct SchedVariant {
    friend void PrintTo(const SchedVariant& variant, std::ostream* out) { *out << variant.name; }

    std::string name;
    TaskStore store;
    Hooks hooks;

    [[nodiscard]] TracerConfig config() const
    {
        TracerConfig config;
        config.task_store = store;
        config.hooks = hooks;
        return config;
    }
};

inline std::vector<SchedVariant> sched_variants()
{
    return {{"Array", TaskStore::kArray, Hooks::kBest},
            {"Storage", TaskStore::kStorage, Hooks::kBest},
            {"RawTracepoints", TaskStore::kArray, Hooks::kRaw}};
}

inline std::string name_of_variant(const ::testing::TestParamInfo<SchedVariant>& info)
{
    return info.param.name;
}

}  // namespace sonde::test
