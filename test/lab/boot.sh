#!/bin/bash
# The lab's first process: it starts in fresh namespaces, builds the host's mounts and becomes its systemd.
# Everything it mounts is in its own mount namespace, so it is gone when the lab is.
# Arguments: the lab's state directory, its base file system, its name.
set -euo pipefail
state=$1 base=$2 name=$3 root=$1/root

# /proc is still the outer machine's here, so this is the process id as seen from outside.
read -r pid _ </proc/self/stat
echo "$pid" >"$state/pid.new"
mv "$state/pid.new" "$state/pid"
read -r _ <"$state/go" # the outer side has plugged in the network

mount -t overlay -o "lowerdir=$base,upperdir=$state/disk/upper,workdir=$state/disk/work" overlay "$root"
# Rootless Podman cannot put its overlays on an overlay: what it may write to are real directories.
for dir in var cluster home tmp; do
  mount --bind "$state/disk/$dir" "$root/$dir"
done

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
# systemd raises the whole kernel's file limits while it starts; "lab up" takes this away once it has started.
mount --bind "$root/proc/sys/fs" "$root/proc/sys/fs"
mount -o remount,bind,ro "$root/proc/sys/fs"
mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o nosuid,strictatime,mode=755 dev "$root/dev"
for node in null zero full random urandom tty fuse net/tun; do
  [[ -e /dev/$node ]] || continue
  mkdir -p "$root/dev/$(dirname "$node")"
  touch "$root/dev/$node"
  mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mount -t tmpfs -o nosuid,nodev,mode=1777 shm "$root/dev/shm"
mount -t tmpfs -o nosuid,nodev,mode=755 run "$root/run"

hostname "$name"
cd "$root"
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
mount --make-rshared /
exec env -i container=gifford-lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
