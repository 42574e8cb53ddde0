// SPDX-License-Identifier: Apache-2.0
//
// The kernel's short integer names, which the generated skeletons use. Include before any *.skel.h.
#pragma once

#include <linux/types.h>

using u8 = __u8;
using u16 = __u16;
using u32 = __u32;
using u64 = __u64;

namespace sonde {

// A value that BPF programs change while we read it.
template <class T>
T read_shared(const T& value)
{
    return *static_cast<const volatile T*>(&value);
}

}  // namespace sonde
