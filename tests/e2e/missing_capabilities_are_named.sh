#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What:  an unprivileged user with few capabilities: what they do not suffice for is refused with the names of those
#        that are missing, by trace and by doctor; with CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN, all is measured.
# Why:   kernels check capabilities in different places, and answer with EPERM, EACCES or EINVAL.
# Usage: tests/e2e/missing_capabilities_are_named.sh [KERNEL]     6.1 or 6.12, in a virtual machine; else on this one
# Exit:  0 passed; 77 skipped; else as scripts/vm.sh.
set -euo pipefail
. "$(dirname "$0")/in_vm.sh"
need_root
need setpriv
need setcap
need nsenter
[[ $# -eq 0 ]] || go_on_in_vm --copy "$(type -P setpriv)" --copy "$(type -P setcap)" "$1"

setpriv=$(type -P setpriv) # busybox's timeout would run busybox's own
chmod 755 "$tmp"
cp "$sonde" "$tmp/sonde" # the build folder may be out of reach for nobody
sonde=$tmp/sonde
as_nobody() { # CAPABILITIES(e.g. bpf,perfmon) STATUS ARGUMENTS...
    local set=-all${1:+,+${1//,/,+}}
    launcher=("$setpriv" --reuid=65534 --regid=65534 --clear-groups --inh-caps="$set" --ambient-caps="$set"
        --bounding-set="$set")
    [[ $# -eq 1 ]] || expect "$2" "${launcher[@]}" "$sonde" "${@:3}"
}
# Bits as in linux/capability.h. Even root may lack some, in a container or a sandbox: these cannot be given.
declare -A bit=([bpf]=39 [perfmon]=38 [sys_admin]=21 [net_admin]=12 [sys_ptrace]=19 [dac_read_search]=2 [dac_override]=1
    [sys_resource]=24 [syslog]=34 [ipc_lock]=14)
bounding=$((16#$(sed -n 's/^CapBnd:\s*//p' /proc/self/status)))
root_has() { ((bounding >> bit[$1] & 1)); }
all_but() { # CAPABILITY...: a list of the others above
    local name list=''
    for name in "${!bit[@]}"; do
        [[ " $* " == *" $name "* ]] || ! root_has "$name" || list+=,$name
    done
    echo "${list#,}"
}
for name in bpf perfmon sys_admin; do root_has "$name" || skip "root has no CAP_${name^^} here"; done

is_refused() { # CAPABILITIES WHAT-IS-MISSING, as CAP_A CAP_B
    as_nobody "$1" 3 trace -d 1
    complains "^sonde trace: loading BPF programs needs ${2/ / and }, which this process lacks: "
    as_nobody "$1" 3 trace -- touch "$tmp/started"
    complains "needs ${2/ / and }, which"
    [[ ! -e $tmp/started ]] || fail "the command was started"
    as_nobody "$1" 3 doctor
    [[ $(grep -cx "  *what would help: run as root, or grant $2" "$out") -eq 8 ]] || fail "with $1, doctor does not say $2"
    as_nobody "$1" 3 doctor -o json
    holds '.all_work == false and .kernel_memory_bytes.here == 0'
    holds '.measurements | length == 8 and all(.status == "off" and (.reason | contains("Operation not permitted"))
        and .remedy == "run as root, or grant \($missing)")' --arg missing "$2"
    holds '.facts.capabilities | endswith("; missing: \($missing)")' --arg missing "$2"
}
suffices() { # CAPABILITIES
    as_nobody "$1" 0 doctor -o json
    # The same hooks as root has; and none of the remedies is a capability.
    holds '[.measurements[] | [.hook, .status, .reason]] == $root[0]' --slurpfile root "$tmp/hooks_of_root"
    holds '.measurements | all(.remedy | contains("CAP_") | not)'
    as_nobody "$1" 0 trace -d 1 -o json
    holds '[.histograms[] | select(.name == "sonde_sched_runq_latency_seconds").count] | add > 0'
    holds '.probes | length == 8 and all(.status != "off")'
    as_nobody "$1" 0 trace -o json -- sleep 0.1
    holds '[.histograms[].labels.process // empty] | index("sleep")'
    as_nobody "$1" 0 trace -d 0.2 -p $$ -o json # a process of root
    ! grep -v '^tracing ' "$err" || fail "more on stderr than the progress line"
}

is_refused '' 'CAP_BPF CAP_PERFMON'
is_refused bpf CAP_PERFMON
is_refused perfmon CAP_BPF
is_refused bpf,net_admin CAP_PERFMON
is_refused "$(all_but perfmon sys_admin)" CAP_PERFMON
is_refused "$(all_but bpf sys_admin)" CAP_BPF
is_refused "$(all_but bpf perfmon sys_admin)" 'CAP_BPF CAP_PERFMON'

"$sonde" doctor -o json | jq '[.measurements[] | [.hook, .status, .reason]]' >"$tmp/hooks_of_root"
suffices bpf,perfmon
suffices sys_admin
suffices "$(all_but sys_admin)"

# What the message advises. No capability is passed on, but the file may have them.
setcap cap_bpf,cap_perfmon+ep "$sonde"
expect 0 "$setpriv" --reuid=65534 --regid=65534 --clear-groups "$sonde" trace -d 0.5 -o json
holds '.probes | length == 8 and all(.status != "off")'
setcap -r "$sonde"

# The one option that takes more.
as_nobody bpf,perfmon 3 trace -d 1 --stats
complains 'needs CAP_SYS_ADMIN'
as_nobody bpf,perfmon 0 doctor -o json
holds '.facts["BPF run-time statistics"] | startswith("no: ") and contains("needs CAP_SYS_ADMIN")'
as_nobody sys_admin 0 trace -d 1 --stats -o json
holds '[.probes[].run_count] | add > 0'

# Network namespaces of other users' processes, as containers have them, are not left out.
unshare -n sleep 1000 &
container=$!
started+=("$container")
has_its_own() { [[ $(readlink "/proc/$container/ns/net") != $(readlink /proc/self/ns/net) ]]; }
until_true 10 has_its_own
nsenter -t "$container" -n ip link set lo up
as_nobody bpf,perfmon
trace_in_background --probes tcp -o json
nsenter -t "$container" -n "$load" listen-overflow --count 10 --seconds 0.3 >"$tmp/truth"
kill -INT "$pid"
expect_end "$pid" 0
jq -e '.host_listen_overflows > 0' "$tmp/truth" >/dev/null || fail "the load made no listen queue overflow"
holds '[.counters[] | select(.name == "sonde_tcp_listen_overflows_total").value] | add >= $truth[0].host_listen_overflows' \
    --slurpfile truth "$tmp/truth"
