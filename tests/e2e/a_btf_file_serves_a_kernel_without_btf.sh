#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  on a kernel without BTF, sonde says so and what would help; with a BTF file it measures all, through raw_tp.
# Why:   distributions build kernels without CONFIG_DEBUG_INFO_BTF. Here one with BTF has it hidden: the kernel itself
#        still has its types, so a raw_tp program that makes the verifier look for one is not found out.
# Usage: tests/e2e/a_btf_file_serves_a_kernel_without_btf.sh [KERNEL]     6.1 or 6.12 (default)
# Exit:  0 passed; else as scripts/vm.sh.
set -euo pipefail
. "$(dirname "$0")/in_vm.sh"
go_on_in_vm "${1:-6.12}"

says_what_is_missing() {
    expect 3 "$sonde" doctor -o json
    holds '.all_work == false and .kernel_memory_bytes.here == 0 and (.facts["kernel BTF"] | startswith("no: "))'
    holds '.measurements | length == 8 and all(.status == "off" and (.reason | startswith("no BTF of this kernel"))
        and (.remedy | test("CONFIG_DEBUG_INFO_BTF=y.*--btf FILE")))'
    expect 3 "$sonde" doctor
    [[ $(grep -c 'what would help: .*--btf FILE' "$out") -eq 8 ]] || fail "doctor does not say what would help"
    grep -q '^Nothing can be measured here' "$out" || fail "doctor does not draw the conclusion"
    expect 3 "$sonde" trace -d 2
    complains '^sonde trace: no BTF of this kernel .*/sys/kernel/btf/vmlinux.* --btf FILE$'
}

# All hooks are raw_tp, and each measurement says what that costs or loses, and why.
through_raw_tracepoints() {
    holds ".$1 | length == 8 and all(.status == \"degraded\" and (.hook | startswith(\"raw_tp/\")) and
        (.hook | test(\"tp_btf|fexit\") | not) and .reason != \"\")"
}

a_file_brings_all_measurements() {
    expect 0 "$sonde" doctor --btf "$btf" -o json
    through_raw_tracepoints measurements
    holds '.all_work and .kernel_memory_bytes.here > 0 and
        (.measurements | all(.rejected | length > 0 and all(contains("no BTF of this kernel"))))'
    trace_known_loads --btf "$btf"
    through_raw_tracepoints probes
    holds '.probes | all(.reason | contains("no BTF of this kernel"))'
    holds_known_loads
    holds '[.histograms[] | select(.name == "sonde_sched_offcpu_seconds").labels.reason] | unique == ["disk", "other"]'
    trace_known_command --btf "$btf"
    through_raw_tracepoints probes
}

hide_kernel_btf
says_what_is_missing
a_file_brings_all_measurements
head -c 100000 "$btf" >"$tmp/cut.btf"
expect 1 "$sonde" trace -d 2 --btf "$tmp/cut.btf"
complains "$tmp/cut.btf"
