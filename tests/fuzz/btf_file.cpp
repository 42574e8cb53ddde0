// SPDX-License-Identifier: Apache-2.0
//
// --btf FILE as a file: raw BTF, or an ELF file around it, which libelf takes apart.
#include "userspace/probes/btf_file.h"

#include "tests/fuzz/input_tree.h"
#include "tests/fuzz/require.h"
#include "userspace/probes/raw_btf.h"

using namespace sonde;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    static const fuzz::InputFile file;
    file.set(data, size);
    const Result<std::vector<char>> bytes = read_btf_file(file.path());
    if (bytes) {
        const Result<RawBtf> btf = RawBtf::open(*bytes);
        require(!btf || btf->count() <= bytes->size(), "types are in the bytes");
    }
    return 0;
}
