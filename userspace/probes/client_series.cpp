// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/client_series.h"

#include <bpf/bpf.h>

#include "userspace/probes/skeleton_types.h"

namespace sonde {

void CallCounts::add(const sonde_client_function& row)
{
    // Ends first: a call that begins and ends meanwhile has then ended at most as often as begun.
    ended += read_shared(row.ended);
    begun += read_shared(row.begun);
    for (size_t i = 0; i < drops.size(); ++i) {
        drops[i] += read_shared(row.drops[i]);
    }
}

void CallCounts::add(const CallCounts& other)
{
    begun += other.begun;
    ended += other.ended;
    for (size_t i = 0; i < drops.size(); ++i) {
        drops[i] += other.drops[i];
    }
}

Result<uint32_t> ClientSeries::make(const ClientTarget& target, const ClientCall& call, const std::string& name)
{
    const Labels labels{{"client", target.client}, {"process", target.process}, {"call", name}};
    if (const auto known = index_.find(labels); known != index_.end()) {
        return known->second;
    }
    if (entries_.size() >= SONDE_CLIENT_SERIES) {
        return Error{E2BIG, "more than " + std::to_string(SONDE_CLIENT_SERIES) + " calls to tell apart"};
    }
    const auto index = static_cast<uint32_t>(entries_.size());
    entries_.push_back({labels, call.question, call.within, call.counts, {}, false, 0, 0});
    index_[labels] = index;
    return index;
}

Result<uint32_t> ClientSeries::index_of(const ClientTarget& target, const ClientCall& call)
{
    if (call.texts.argument == 0) {
        return make(target, call, call.name);
    }
    Result<uint32_t> other = make(target, call, call.name + ":other");
    if (!other) {
        return other;
    }
    for (const std::string& text : call.texts.known) {
        const Result<uint32_t> index = make(target, call, call.name + ":" + text);
        sonde_client_text key{};
        key.series = *other;
        if (!index || text.size() >= sizeof(key.text)) {
            continue;  // they are among the others
        }
        text.copy(key.text, text.size());
        (void)bpf_map_update_elem(texts_fd_, &key, &*index, BPF_ANY);  // where there is no room, they are too
    }
    return other;
}

}  // namespace sonde
