// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>

#include "userspace/probes/object.h"
#include "userspace/probes/probe.h"
#include "userspace/probes/skeleton_types.h"

#include "follow.skel.h"  // after skeleton_types.h

namespace sonde {
namespace {

class FollowProbeImpl final : public FollowProbe {
  public:
    FollowProbeImpl(SkelPtr<follow_bpf> skel, ProgramSet programs)
        : skel_(std::move(skel)), programs_(std::move(programs))
    {}

    [[nodiscard]] int targets_fd() const override { return bpf_map__fd(skel_->maps.follow_targets); }
    Status add(pid_t tgid) override
    {
        const auto key = static_cast<uint32_t>(tgid);
        const uint8_t one = 1;
        if (bpf_map_update_elem(targets_fd(), &key, &one, BPF_ANY) != 0) {
            return Error::from_errno(errno, "follow process " + std::to_string(tgid));
        }
        return ok();
    }
    [[nodiscard]] uint64_t lost() const override { return read_shared(skel_->bss->follow_lost); }

  private:
    SkelPtr<follow_bpf> skel_;
    ProgramSet programs_;
};

}  // namespace

Result<std::unique_ptr<FollowProbe>> load_follow_probe(const KernelFeatures& features)
{
    const bpf_object_open_opts open = open_options(features);
    SkelPtr<follow_bpf> skel(follow_bpf__open_opts(&open));
    if (!skel) {
        return Error::from_errno(errno, "open BPF object follow");
    }
    ProgramSet programs;
    const bool typed = features.typed_tracepoints.works;
    programs.add(typed ? "sonde_follow_fork" : "sonde_follow_fork_raw");
    programs.add(typed ? "sonde_follow_exit" : "sonde_follow_exit_raw");
    programs.select(skel->obj);
    if (Status status = load_object(skel->skeleton, "follow"); !status) {
        return status.error();
    }
    if (Status status = programs.attach(skel->obj); !status) {
        return status.error();
    }
    return std::unique_ptr<FollowProbe>(std::make_unique<FollowProbeImpl>(std::move(skel), std::move(programs)));
}

std::span<const char> follow_object()
{
    return object_bytes(&follow_bpf::elf_bytes);
}

}  // namespace sonde
