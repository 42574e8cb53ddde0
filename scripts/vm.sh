#!/usr/bin/env bash
# What:  runs one command as root on a Debian kernel in a throw-away virtual machine, passes its output and its
#        exit status on.
# Why:   tests need other kernels than the build machine's, kernel lockdown, and a kernel that may break. QEMU
#        emulates the CPU, so this works without KVM; it needs apt, for the kernel package (see vm/fetch_kernel.sh).
# Usage: scripts/vm.sh [options] KERNEL COMMAND [ARGS...]     KERNEL is 6.1 or 6.12
#          --lockdown none|integrity|confidentiality    kernel lockdown (none)
#          --cpus N  --mem MB                           size of the machine (2, 1024)
#          --timeout S                                  limit for boot and command together (120)
#          --append "ARGS"                              more kernel arguments
#          --copy PATH[:GUESTPATH]                      put a file or folder into the guest, with the shared
#                                                       libraries its executables need (repeatable)
#          --python                                     put /usr/bin/python3 and its library into the guest
#          --verbose                                    show the kernel's messages on stderr
#        The guest has busybox, and dash, bash, fio, ip, tc if they are here; COMMAND's own file is copied along. The
#        command starts in a folder of the same name as the current one. /dev/vda is an empty 256 MB disk.
# Exit:  the command's status; 124 if the kernel reported a bug while it ran; 125 if it did not run to its end
#        (timeout, panic, not started, wrong usage); one line on stderr says why.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
die() { echo "vm.sh: $*" >&2; exit 125; }
# shellcheck source=scripts/vm/guest_files.sh
. "$here/vm/guest_files.sh"

lockdown=none cpus=2 mem=1024 timeout=120 append='' verbose='' copies=()
while [[ ${1:-} == -* ]]; do
    case $1 in
        --verbose) verbose=1; shift; continue ;;
        --python) copies+=(/usr/bin/python3 "$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')")
            shift; continue ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \?//p}' "$0"; exit 0 ;;
    esac
    [[ $# -ge 2 ]] || die "$1 needs a value (see --help)"
    case $1 in
        --lockdown) lockdown=$2 ;;
        --cpus) cpus=$2 ;;
        --mem) mem=$2 ;;
        --timeout) timeout=$2 ;;
        --append) append=$2 ;;
        --copy) copies+=("$2") ;;
        *) die "unknown option $1 (see --help)" ;;
    esac
    shift 2
done
[[ $# -ge 2 ]] || die "give a kernel (6.1 or 6.12) and a command (see --help)"
[[ $lockdown =~ ^(none|integrity|confidentiality)$ ]] || die "--lockdown $lockdown: use none, integrity or confidentiality"
[[ "$cpus $mem $timeout" =~ ^[1-9][0-9]*\ [1-9][0-9]*\ [1-9][0-9]*$ ]] || die "--cpus, --mem and --timeout take whole numbers above 0"
for tool in qemu-system-x86_64 busybox cpio modprobe depmod ldd; do
    command -v "$tool" >/dev/null || die "no '$tool' here (Debian packages: qemu-system-x86 busybox-static cpio kmod libc-bin)"
done
kernel=$("$here/vm/fetch_kernel.sh" "$1") || die "no kernel '$1' to boot: see the message above"
shift

tmp=$(mktemp -d "${TMPDIR:-/tmp}/sonde-vm.XXXXXX")
running=() # the processes to end when this script ends early
# shellcheck disable=SC2317 # the traps call it
cleanup() {
    [[ ${#running[@]} -eq 0 ]] || kill "${running[@]}" 2>/dev/null || true
    rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# This run's part of the guest: init, the command with its file, and the copies.
tree=$tmp/tree
tree_new "$tree"
cp "$here/vm/init" "$tree/init"
cp "$here/vm/kernel_complaints" "$tree/run/vm/" # lines of the kernel's log that are bugs
for copy in ${copies[@]+"${copies[@]}"}; do
    source=$(realpath -se "${copy%%:*}" 2>/dev/null) || die "--copy $copy: no such file or folder"
    target=$source
    [[ $copy != *:* ]] || target=${copy#*:}
    [[ $target == /* ]] || die "--copy $copy: the path in the guest must start with /"
    tree_put "$tree" "$source" "$target" || die "--copy $copy: cannot copy it into the guest"
done
program=$1
shift
if [[ ! -e $tree/$program ]] && path=$(type -P "$program"); then # not one that --copy put there
    [[ $program != */* ]] || program=$(realpath -s "$path")
    # plain names that the guest has anyway need no copy
    [[ $program != */* && " $(busybox --list | tr '\n' ' ') $guest_tools " == *" $program "* ]] ||
        tree_put "$tree" "$(realpath -s "$path")" || die "cannot copy $path into the guest"
fi
quote() { printf "'%s' " "${@//\'/\'\\\'\'}"; }
mkdir -p "$tree/$PWD"
cat >"$tree/run/vm/command" <<END
cd $(quote "$PWD")
command -v $(quote "$program") >/dev/null || { touch /run/vm/missing; exit 127; }
exec $(quote "$program" "$@")
END
write_base "$kernel" "$tmp/initramfs" & # not `write_base || die`: that would switch off its `set -e`
wait $! || die "cannot build the guest's files for $kernel: see the message above"
tree_pack "$tree" >>"$tmp/initramfs"
rm -rf "$tree"

# The command's two streams leave the guest through pipes of their own, so kernel messages never mix in. When
# our own output gets closed (`| head`), the readers drain the pipe, so that the command need not wait forever.
truncate -s 256M "$tmp/disk"
touch "$tmp/console" "$tmp/status"
mkfifo "$tmp/out" "$tmp/err" "$tmp/console.fifo"
{ cat || cat >/dev/null; } <"$tmp/out" & running+=($!)
{ cat || cat >/dev/null; } <"$tmp/err" >&2 & running+=($!)
quiet=quiet console=$tmp/console
if [[ -n $verbose ]]; then
    quiet='' console=$tmp/console.fifo
    tee "$tmp/console" <"$console" >&2 & running+=($!)
fi

# The kernel is booted unpacked (PVH), which saves unpacking it in emulation. So do the settings: five-level page
# tables make every page walk longer, `rep movsb` is emulated byte by byte, the crypto self-tests take long.
# Not microvm, though it starts faster: without HPET or PM timer the clock's calibration fails on a busy host.
timeout -k 5 "$timeout" qemu-system-x86_64 -machine pc -accel tcg,thread=multi \
    -cpu max,la57=off,erms=off,fsrm=off -smp "$cpus" -m "$mem" \
    -nodefaults -no-user-config -display none -no-reboot -kernel "$kernel/vmlinux" -initrd "$tmp/initramfs" \
    -append "console=ttyS0 $quiet panic=-1 reboot=t cryptomgr.notests log_buf_len=4M lockdown=$lockdown $append" \
    -chardev "file,id=console,path=$console" -serial chardev:console -device virtio-serial-pci \
    -chardev "file,id=out,path=$tmp/out" -device virtserialport,chardev=out,nr=1 \
    -chardev "file,id=err,path=$tmp/err" -device virtserialport,chardev=err,nr=2 \
    -chardev "file,id=status,path=$tmp/status" -device virtserialport,chardev=status,nr=3 \
    -drive "file=$tmp/disk,format=raw,if=none,id=disk,cache=unsafe" -device virtio-blk-pci,drive=disk \
    </dev/null >/dev/null 2>"$tmp/qemu.log" & running+=($!)
rc=0
wait $! || rc=$?
: <>"$tmp/out" <>"$tmp/err" <>"$tmp/console.fifo" # lets readers go on if QEMU ended before it opened these
wait || true
running=()

status=$(sed -n 's/^exit \([0-9]*\)$/\1/p' "$tmp/status")
bugs=$(sed -n 's/^kernel //p' "$tmp/status")
if [[ -n $status ]]; then
    if [[ -n $bugs ]]; then
        echo "$bugs" >&2
        echo "vm.sh: the kernel reported the above while '$program' ran (its own exit status: $status)" >&2
        exit 124
    fi
    ! grep -q '^missing$' "$tmp/status" || die "the guest has no command '$program': --copy it"
    exit "$status"
fi
reason=$(grep -aoEm1 '(Kernel panic|BUG:|Oops:|watchdog:|rcu:.*stall).*' "$tmp/console" | tr -d '\r' || true)
[[ $reason != *int3* ]] || reason+=" (a known fault of QEMU before 8.1; this one is $(qemu-system-x86_64 --version | sed -n 's/.*version \([0-9.]*\).*/\1/p'))"
[[ $rc -ne 124 && $rc -ne 137 ]] || die "timed out after $timeout s${reason:+; the kernel said: $reason}"
[[ $rc -eq 0 ]] || die "QEMU failed with status $rc: $(tail -n1 "$tmp/qemu.log")"
grep -q '^started$' "$tmp/status" || die "the guest stopped before it started '$program': ${reason:-try --verbose}"
die "the guest stopped while '$program' ran: ${reason:-did the command restart it?}"
