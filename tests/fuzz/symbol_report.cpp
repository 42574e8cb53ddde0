// SPDX-License-Identifier: Apache-2.0
//
// What a reader of symbols, which may have been taken over by the file that it read, sends back.
#include "userspace/symbols/symbol_report.h"

#include "tests/fuzz/require.h"

using namespace sonde;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const Result<SymbolReport> report = decode_report(Bytes({reinterpret_cast<const char*>(data), size}));
    if (report) {
        require(static_cast<bool>(decode_report(Bytes(encode(*report)))), "what is a report stays one");
    }
    return 0;
}
