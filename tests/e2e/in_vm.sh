# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What: what the end-to-end tests of other kernels share besides lib.sh; each sources it and goes on in a virtual
#       machine: the same script runs twice, on the host up to go_on_in_vm, and as a whole in the guest.
# Why:  a kernel without BTF and a locked-down kernel are not what the build machine has, and hiding a kernel's BTF is
#       nothing to do to a host.
# Use:  . "$(dirname "$0")/in_vm.sh"; go_on_in_vm 6.12
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck disable=SC2034 # lib.sh uses it
patience=4 # emulated CPUs are slow, slower still on a busy host

in_guest() { [[ -e /run/vm/command ]]; } # scripts/vm.sh makes this file

# go_on_in_vm [OPTIONS of scripts/vm.sh] KERNEL: on the host ends with the guest's status, in the guest returns.
go_on_in_vm() {
    local status=0
    in_guest && return
    need jq
    # trace_in_background uses an option of GNU's env; lib.sh sets the locale.
    "$root/scripts/vm.sh" --timeout 240 --copy "$root/tests/e2e" --copy "$(realpath "$sonde")" \
        --copy "$(realpath "$load")" --copy "$(type -P jq)" --copy "$(type -P env)" --copy /usr/lib/locale/C.utf8 "$@" \
        env SONDE="$(realpath "$sonde")" SONDE_LOAD="$(realpath "$load")" "$root/tests/e2e/$(basename "$0")" \
        ${test_arguments[@]+"${test_arguments[@]}"} || status=$?
    exit "$status"
}
test_arguments=("$@")

# hide_kernel_btf: leaves a copy in $btf. Kernels without BTF have no such folder, so it does not hold the file either.
hide_kernel_btf() {
    in_guest || fail "this is no virtual machine"
    btf=$tmp/kernel.btf
    cp /sys/kernel/btf/vmlinux "$btf"
    mkdir "$tmp/no-btf"
    mount --bind "$tmp/no-btf" /sys/kernel/btf
}

# trace_known_loads [OPTIONS of trace]: of the whole machine, where nobody else uses the disk or TCP. Into $out.
trace_known_loads() {
    trace_in_background -o json "$@"
    {
        "$load" direct-read --file /dev/vda --size-mb 100 --count 100 &&
            "$load" tcp-connect --count 50 &&
            "$load" tcp-connect --count 7 --refused &&
            "$load" tcp-rr --count 200 &&
            "$load" sleep --count 20 --usec 5000 --comm e2e-sleeper
    } >"$tmp/loads" || fail "a load failed"
    kill -INT "$pid"
    expect_end "$pid" 0
    [[ $(wc -l <"$err") -eq 1 ]] || fail "more on stderr than the progress line"
}
# count HISTOGRAM LABELS CONDITION: LABELS is a JSON object, CONDITION is about all of its rows, e.g. '== 100'.
count() {
    holds "([.histograms[] | select(.name == \"sonde_$1_seconds\" and (.labels | contains($2))).count] | add // 0) $3"
}
# All of it was measured, in numbers that do not depend on the hooks.
holds_known_loads() {
    local stage
    holds '.probes | length == 8 and all(.events > 0)'
    for stage in total queue device; do
        count block_io_latency "{device: \"vda\", op: \"read\", stage: \"$stage\"}" '== 100'
    done
    holds '[.counters[] | select(.name == "sonde_block_io_bytes_total" and .labels == {device: "vda", op: "read"}).value]
        == [100 * 4096]'
    count tcp_connect_latency '{peer: "loopback"}' '== 51' # one is the connection of tcp-rr
    count tcp_accept_latency '{peer: "loopback"}' '== 51'
    count tcp_rtt '{peer: "loopback"}' '>= 200'
    # Not those sent: 6.1 does not report a reset that no socket sends.
    holds '[.counters[] | select(.name == "sonde_tcp_resets_total" and .labels.direction == "received").value] == [7]'
    # A sleep may be over before the thread is off its emulated CPU.
    count sched_offcpu '{process: "e2e-sleeper"}' '>= 10'
    count sched_oncpu '{process: "e2e-sleeper"}' '>= 10'
    count sched_runq_latency '{process: "e2e-sleeper", cause: "woken"}' '>= 10'
}
# trace_known_command [OPTIONS of trace]: the same for a command; then the programs also decide what belongs to it.
trace_known_command() {
    expect 0 "$sonde" trace -o json "$@" -- bash -c '{
        "$0" direct-read --file /dev/vda --size-mb 100 --count 100 &&
            "$0" sleep --count 20 --usec 5000 --comm e2e-sleeper
    } >/dev/null' "$load"
    count block_io_latency '{device: "vda", op: "read", stage: "device"}' '== 100'
    count sched_offcpu '{process: "e2e-sleeper"}' '>= 10'
    holds '[.histograms[].labels.process // empty] - ["bash", "sonde-load", "e2e-sleeper"] == []'
}
