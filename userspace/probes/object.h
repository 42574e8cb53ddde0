// SPDX-License-Identifier: Apache-2.0
//
// What all probes do with their BPF object: choose programs by name, load, attach, ask for costs.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/base/result.h"
#include "userspace/base/unique_fd.h"
#include "userspace/probes/hook_table.h"
#include "userspace/probes/libbpf_ptr.h"
#include "userspace/probes/probe.h"
#include "userspace/probes/type_subset.h"

namespace sonde {

struct ProgramCost {
    uint64_t runs = 0;
    uint64_t time_ns = 0;  // 0 unless the kernel keeps BPF statistics
    uint64_t missed = 0;   // events for which the kernel did not run the program: it was running on that CPU
};

// The programs of one object that are in use, by name.
class ProgramSet {
  public:
    void add(std::string_view name) { names_.emplace(name); }
    void add(const Choice& choice);

    // Loads only these programs. An unknown name is a programmer error.
    void select(bpf_object* object) const;
    Status attach(bpf_object* object);
    void detach();
    // Sum over the named programs that are loaded.
    [[nodiscard]] ProgramCost cost(bpf_object* object, const std::vector<std::string_view>& names) const;
    [[nodiscard]] const std::set<std::string>& names() const { return names_; }

  private:
    std::set<std::string> names_;
    std::vector<LinkPtr> links_;
};

// Loads an opened object and maps its global data; an error carries the kernel's or libbpf's reason in one line.
Status load_object(bpf_object_skeleton* skeleton, std::string_view name);

// The ELF file that a skeleton holds: `elf_bytes` of its type.
[[nodiscard]] inline std::span<const char> object_bytes(const void* (*elf_bytes)(size_t*))
{
    size_t size = 0;
    const void* bytes = elf_bytes(&size);
    return {static_cast<const char*>(bytes), size};
}

// The kernel's types that the BPF objects may refer to. All objects that are loaded must be looked at: to one that is
// not, fields of the kernel would seem not to exist.
[[nodiscard]] Result<TypeNames> core_type_names();

// Options for opening, with the BTF file if there is one. `features` must outlive the result.
[[nodiscard]] bpf_object_open_opts open_options(const KernelFeatures& features);

// Fills what every object has: filter_kind and its values. For any skeleton with bpf/lib/filter.bpf.h.
template <class Rodata>
void set_filter(Rodata* rodata, const TaskFilter& filter)
{
    rodata->filter_kind = filter.kind;
    rodata->filter_tgid = static_cast<uint32_t>(filter.tgid);
    rodata->filter_cgroup_id = filter.cgroup_id;
    filter.comm.copy(const_cast<char*>(rodata->filter_comm), sizeof(rodata->filter_comm) - 1);
}

// Shares the set of followed processes, or makes the unused map small.
void use_follow_targets(bpf_map* map, const ProbeOptions& options);

// Bytes that the kernel accounts to the maps of an object (memlock in fdinfo).
[[nodiscard]] uint64_t maps_bytes(bpf_object* object);

// The status of one measurement: from its choice, and the costs of its programs.
[[nodiscard]] ProbeStatus status_of(const Choice& choice, bpf_object* object, const ProgramSet& programs);

// Has the kernel time all BPF programs for as long as the descriptor is open. Needs CAP_SYS_ADMIN.
[[nodiscard]] Result<UniqueFd> keep_statistics();

// Keeps what libbpf says, so that an error can quote it; with `verbose`, passes it on to stderr too.
void capture_libbpf_messages(bool verbose);

}  // namespace sonde
