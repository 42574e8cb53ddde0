#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  on a locked-down kernel, sonde says so, and measures all as on any other; where confidentiality leaves no
#        hook, because there is no BTF either, it says which helper is refused.
# Why:   Secure Boot locks kernels down. Confidentiality refuses bpf_probe_read_kernel; programs whose arguments have
#        types read without it.
# Usage: tests/e2e/lockdown_leaves_all_measurements.sh [KERNEL [integrity|confidentiality]]     (6.12, confidentiality)
# Exit:  0 passed; else as scripts/vm.sh.
set -euo pipefail
. "$(dirname "$0")/in_vm.sh"
mode=${2:-confidentiality}
go_on_in_vm --lockdown "$mode" "${1:-6.12}"

doctor_names_the_mode() {
    local probe_read='yes'
    [[ $mode == integrity ]] || probe_read='no: load a program that calls bpf_probe_read_kernel'
    expect 0 "$sonde" doctor -o json
    holds '.facts.lockdown == $mode and (.facts.bpf_probe_read_kernel | startswith($probe_read))' \
        --arg mode "$mode" --arg probe_read "$probe_read"
    holds '.all_work and (.measurements | all(.status == "ok"))'
    expect 0 "$sonde" doctor
    grep -qx "lockdown  *$mode" "$out" || fail "the text does not name the mode"
}

# Nothing is lost: neither measurements nor the reasons for which threads block.
all_is_measured() {
    trace_known_loads
    holds '.probes | all(.status == "ok" and .reason == "" and (.hook | test("^(tp_btf|fexit)/")))'
    holds_known_loads
    count sched_offcpu '{process: "e2e-sleeper", reason: "sleep"}' '>= 10'
    count sched_offcpu '{process: "load-peer", reason: "network"}' '>= 100'
    trace_known_command
}

# Without types, fields can be read by the helper only.
without_btf_it_depends_on_the_helper() {
    hide_kernel_btf
    if [[ $mode == integrity ]]; then
        trace_known_command --btf "$btf"
        holds '.probes | all(.hook | startswith("raw_tp/"))'
        return
    fi
    expect 3 "$sonde" doctor --btf "$btf" -o json
    holds '.facts.lockdown == "confidentiality" and .kernel_memory_bytes.here == 0'
    holds '.measurements | length == 8 and all(.status == "off" and (.reason | contains("bpf_probe_read_kernel"))
        and (.remedy | contains("CONFIG_DEBUG_INFO_BTF")))'
    expect 3 "$sonde" trace -d 2 --btf "$btf"
    complains '^sonde trace: .*bpf_probe_read_kernel.*lockdown.*confidentiality'
}

doctor_names_the_mode
all_is_measured
without_btf_it_depends_on_the_helper
