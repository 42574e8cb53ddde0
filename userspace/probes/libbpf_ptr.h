// SPDX-License-Identifier: Apache-2.0
//
// Owners of libbpf's objects. A skeleton's destroy function detaches its programs and closes its maps.
#pragma once

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <memory>

namespace sonde {

struct BtfDeleter {
    void operator()(btf* b) const { btf__free(b); }
};
using BtfPtr = std::unique_ptr<btf, BtfDeleter>;

struct LinkDeleter {
    void operator()(bpf_link* l) const { bpf_link__destroy(l); }
};
using LinkPtr = std::unique_ptr<bpf_link, LinkDeleter>;

template <class Skeleton>
struct SkelDeleter {
    void operator()(Skeleton* s) const { Skeleton::destroy(s); }
};
template <class Skeleton>
using SkelPtr = std::unique_ptr<Skeleton, SkelDeleter<Skeleton>>;

}  // namespace sonde
