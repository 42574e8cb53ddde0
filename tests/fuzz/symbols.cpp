// SPDX-License-Identifier: Apache-2.0
//
// The file of a traced program: ELF headers and symbols, Go's function table and build information, USDT notes, and the
// code of its functions.
#include <elf.h>

#include "tests/fuzz/input_tree.h"
#include "tests/fuzz/require.h"
#include "userspace/symbols/symbol_report.h"

using namespace sonde;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    static const fuzz::InputFile file;
    file.set(data, size);
    SymbolRequest request;
    request.path = request.debug_path = file.path();
    request.with_sites = true;
    const Result<SymbolFiles> files = SymbolFiles::open(request);
    require(static_cast<bool>(files), "a regular file opens");
    const Result<SymbolReport> report = read_symbols(request, *files);
    if (!report) {
        return 0;
    }
    for (const FunctionSymbol& f : report->functions) {
        require(f.offset < size && !f.name.empty(), "functions are in the file");
        require(!f.sites || f.sites->entry.offset < f.size, "a site is in its function");
        for (size_t i = 0; f.sites && i < f.sites->returns.size(); ++i) {
            require(f.sites->returns[i].offset < f.size, "a return is in its function");
        }
    }
    for (const UsdtProbe& p : report->usdt) {
        require(p.offset < size && p.semaphore_offset < size, "static tracepoints are in the file");
    }
    const std::vector<char> bytes = encode(*report);
    const Result<SymbolReport> again = decode_report(Bytes(bytes));
    require(again && encode(*again) == bytes, "a report comes back as it went");
    return 0;
}
