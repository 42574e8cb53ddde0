// SPDX-License-Identifier: Apache-2.0
//
// The bytes of --btf FILE: an error, or types that fit together.
#include <cstdint>

#include "tests/fuzz/require.h"
#include "userspace/probes/kernel_types.h"
#include "userspace/probes/libbpf_ptr.h"
#include "userspace/probes/object.h"

using namespace sonde;
using fuzz::require;

namespace {

TypeNames wanted()
{
    TypeNames names = *core_type_names();
    names.insert("s");  // as a short input can spell it
    return names;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    static const TypeNames names = wanted();
    const Result<RawBtf> btf = RawBtf::open({reinterpret_cast<const char*>(data), size});
    if (!btf) {
        return 0;
    }
    const Result<KernelTypes> types = KernelTypes::find(*btf, {"f", "inet_csk_accept"});
    require(!types || types->ids.size() <= btf->count(), "no more names than types");
    const Result<std::vector<char>> copied = type_subset(*btf, names);
    if (!copied) {
        return 0;
    }
    const Result<RawBtf> subset = RawBtf::open(*copied);
    require(static_cast<bool>(subset), "a subset is well-formed");
    const BtfPtr parsed(btf__new(copied->data(), static_cast<uint32_t>(copied->size())));
    require(parsed && btf__type_cnt(parsed.get()) == subset->count() + 1, "libbpf reads the same from it");
    for (uint32_t id = 1; id <= subset->count(); ++id) {
        // Goes through whatever it is made of, so it crashes where a reference leads nowhere.
        btf__resolve_size(parsed.get(), id);
    }
    return 0;
}
