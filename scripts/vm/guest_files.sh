# What:  functions that build the guest's file tree and pack it (sourced by ../vm.sh).
# Why:   the guest boots from an initramfs of two archives: a base, cached per kernel (busybox, tools, modules),
#        and a small one per run (init, the command, what --copy names). Neither is compressed: the host writes
#        them faster than the emulated guest could unpack them.

# Modules the tests can use; those that a kernel lacks or has built in are left out.
guest_modules='virtio_pci virtio_blk virtio_console virtio_net virtio_scsi loop null_blk mq-deadline brd scsi_debug sd_mod
    dm_mod dm_delay dm_flakey ext4 xfs overlay crc32c_generic veth dummy ifb tcp_diag sch_netem sch_tbf sch_htb sch_fq sch_ingress'
guest_tools='dash bash fio ip tc'

# tree_new TREE: an empty tree with Debian's merged /usr, so that host paths mean the same in the guest.
tree_new() {
    local dir
    mkdir -p "$1"/{usr/{bin,sbin,lib,lib64},etc,dev,proc,sys,run/vm,tmp,root,var}
    for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$1/$dir"; done
}

# tree_put TREE SOURCE [GUESTPATH]: copies a file or folder, and the shared libraries of every ELF file in it.
tree_put() {
    local tree=$1 source=$2 target=${3:-$2} file magic lib
    mkdir -p "$tree/$(dirname "$target")"
    # -T: the source becomes the target also where the target is a folder already. Existing files (they may be
    # links to busybox) are replaced, not written through.
    cp -rLT --preserve=mode,timestamps --remove-destination "$source" "$tree/$target" || return 1
    while IFS= read -r -d '' file; do
        IFS= LC_ALL=C read -rN4 magic <"$file" || true
        [[ $magic == $'\x7fELF' ]] || continue
        while read -r lib; do
            if [[ $lib != /* ]]; then
                echo "vm.sh: $file needs $lib, which this machine does not have" >&2
                return 1
            fi
            [[ -e $tree/$lib && ! -L $tree/$lib ]] && continue
            mkdir -p "$tree/$(dirname "$lib")"
            cp -L --preserve=mode,timestamps --remove-destination "$lib" "$tree/$lib" || return 1
        done < <(ldd "$file" 2>/dev/null | sed -nE 's/ \(0x[0-9a-f]+\)$//; /=> not found/s/^\s*(\S+).*/\1/p; s/^.* => (\/.*)/\1/p; s/^\s+(\/.*)/\1/p')
    done < <(find -L "$source" -type f -size +3c -print0)
}

# tree_pack TREE: the tree as an archive on stdout, owned by root.
tree_pack() { (cd "$1" && find . -print0 | cpio --null --create --format=newc --owner=0:0 --quiet); }

# tree_base TREE KERNELDIR: what every run with this kernel has in its guest.
tree_base() {
    local tree=$1 kernel=$2 release name tool module path
    release=$(cat "$kernel/release")
    tree_new "$tree"
    tree_put "$tree" "$(command -v busybox)" /usr/bin/busybox
    for name in $(busybox --list); do
        [[ -e $tree/usr/bin/$name ]] || ln -s busybox "$tree/usr/bin/$name"
    done
    ln -s ../bin/busybox "$tree/usr/sbin/modprobe" # where the kernel looks for it, to load a qdisc or file system
    for tool in $guest_tools; do
        path=$(type -P "$tool") && tree_put "$tree" "$path"
    done
    # Debian's sh; busybox's prefers its own applets (ip!) to the programs in PATH.
    [[ ! -e $tree/usr/bin/dash ]] || ln -sf dash "$tree/usr/bin/sh"
    cp /etc/ld.so.cache "$tree/etc/" # the libraries are where the host has them
    echo 'root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin' >"$tree/etc/passwd"
    echo 'root:x:0:
tty:x:5:
nogroup:x:65534:' >"$tree/etc/group"
    echo 'passwd: files
group: files
hosts: files' >"$tree/etc/nsswitch.conf"
    echo '127.0.0.1 localhost sonde-vm' >"$tree/etc/hosts"

    mkdir -p "$tree/lib/modules/$release"
    cp "$kernel/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$tree/lib/modules/$release/"
    for module in $guest_modules; do
        modprobe -d "$kernel" -S "$release" --show-depends "$module" 2>/dev/null || true
    done | sed -n "s|^insmod .*/lib/modules/$release/\(\S*\).*|\1|p" | sort -u | while read -r path; do
        install -D -m 644 "$kernel/lib/modules/$release/$path" "$tree/lib/modules/$release/$path"
    done
    depmod -b "$tree" "$release"
}

# write_base KERNELDIR FILE: the base archive into FILE, from the cache or newly made.
write_base() (
    # The key covers all that goes in, so that a changed script or a newly installed tool makes a new archive.
    # shellcheck disable=SC2046,SC2086
    key=$({ cat "${BASH_SOURCE[0]}" "$1/release"; stat -Lc '%n %s %Y' $(type -P busybox $guest_tools); } | sha256sum)
    archive=$1/base-${key:0:16}.cpio
    exec 9>"$1/base.lock"
    flock 9
    if [[ ! -e $archive ]]; then
        rm -rf "$1"/base-*.cpio "$1/base.tmp"
        tree_base "$1/base.tmp" "$1"
        tree_pack "$1/base.tmp" >"$1/base.tmp.cpio"
        rm -rf "$1/base.tmp"
        mv "$1/base.tmp.cpio" "$archive"
    fi
    cp --reflink=auto "$archive" "$2"
)
