// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/start_probe.h"

#include <bpf/bpf.h>

#include <utility>

#include "bpf/abi/starts.h"
#include "userspace/probes/object.h"
#include "userspace/probes/skeleton_types.h"

#include "starts.skel.h"  // after skeleton_types.h

namespace sonde {
namespace {

class StartProbeImpl final : public StartProbe {
  public:
    StartProbeImpl(SkelPtr<starts_bpf> skel, ProgramSet programs)
        : skel_(std::move(skel)), programs_(std::move(programs))
    {}

    [[nodiscard]] Starts take() override
    {
        Starts starts;
        const uint64_t head = read_shared(skel_->bss->started_head);
        if (head - taken_ > SONDE_STARTS) {
            starts.missed = true;
            taken_ = head - SONDE_STARTS;
        }
        for (; taken_ < head; ++taken_) {
            volatile uint32_t& tgid = skel_->bss->started[taken_ % SONDE_STARTS];
            if (tgid == 0 && std::exchange(waited_for_, taken_ + 1) != taken_ + 1) {
                break;  // its place is taken, and it is not written yet: it will be by the next time
            }
            if (tgid == 0) {
                continue;
            }
            starts.pids.push_back(static_cast<pid_t>(tgid));
            tgid = 0;
        }
        return starts;
    }

  private:
    SkelPtr<starts_bpf> skel_;
    ProgramSet programs_;
    uint64_t taken_ = 0;
    uint64_t waited_for_ = 0;  // the place, counted from 1, that was not written when looked at last
};

}  // namespace

Result<std::unique_ptr<StartProbe>> load_start_probe(const KernelFeatures& features)
{
    const bpf_object_open_opts open = open_options(features);
    SkelPtr<starts_bpf> skel(starts_bpf__open_opts(&open));
    if (!skel) {
        return Error::from_errno(errno, "open BPF object starts");
    }
    ProgramSet programs;
    programs.add(features.typed_tracepoints.works ? "sonde_starts_fork" : "sonde_starts_fork_raw");
    programs.add("sonde_starts_exec");
    programs.select(skel->obj);
    if (Status status = load_object(skel->skeleton, "starts"); !status) {
        return status.error();
    }
    if (Status status = programs.attach(skel->obj); !status) {
        return status.error();
    }
    return std::unique_ptr<StartProbe>(std::make_unique<StartProbeImpl>(std::move(skel), std::move(programs)));
}

std::span<const char> starts_object()
{
    return object_bytes(&starts_bpf::elf_bytes);
}

}  // namespace sonde
