#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  on a kernel that is locked down for confidentiality, sonde says so and which helper that refuses, and measures
#        all, but for one reason of off-CPU time; where this leaves no hook, because there is no BTF either, it says that.
# Why:   Secure Boot locks kernels down. Confidentiality refuses bpf_probe_read_kernel; programs whose arguments have
#        types read without it. That each of them then measures right is for the kernel tests (tests/kernel/in_vm.sh).
# Usage: tests/e2e/lockdown_names_the_helper_it_refuses.sh [KERNEL]     6.1 or 6.12 (default)
# Exit:  0 passed; else as scripts/vm.sh.
set -euo pipefail
. "$(dirname "$0")/in_vm.sh"
go_on_in_vm --lockdown confidentiality "${1:-6.12}"

doctor_names_the_mode() {
    expect 0 "$sonde" doctor -o json
    holds '.facts.lockdown == "confidentiality"'
    holds '.facts.bpf_probe_read_kernel | startswith("no: load a program that calls bpf_probe_read_kernel")'
    holds '.all_work and (.measurements | all(.status == "ok" or .measurement == "off-CPU time"))'
    holds '.measurements[] | select(.measurement == "off-CPU time") | .status == "degraded" and
        (.reason | contains("socket")) and (.remedy | contains("lockdown"))'
    expect 0 "$sonde" doctor
    grep -qx "lockdown  *confidentiality" "$out" || fail "the text does not name the mode"
}

types_do_without_the_helper() {
    trace_known_command
    # 6.1 has another limit besides, which is not lockdown's: it does not report who asked for a flush.
    holds '.probes | all((.hook | test("^(tp_btf|fexit)/")) and (.status == "ok" and .reason == "" or
        .status == "degraded" and (.measurement == "off-CPU time" or (.reason | contains("flushes do not show")))))'
}

# Without types, fields can be read by the helper only.
without_btf_nothing_is_left() {
    hide_kernel_btf
    expect 3 "$sonde" doctor --btf "$btf" -o json
    holds '.facts.lockdown == "confidentiality" and .kernel_memory_bytes.here == 0'
    holds '.measurements | length == 8 and all(.status == "off" and (.reason | contains("bpf_probe_read_kernel"))
        and (.remedy | contains("CONFIG_DEBUG_INFO_BTF")))'
    expect 3 "$sonde" trace -d 2 --btf "$btf"
    complains '^sonde trace: .*bpf_probe_read_kernel.*lockdown.*confidentiality'
}

doctor_names_the_mode
types_do_without_the_helper
without_btf_nothing_is_left
