#!/bin/bash
# Turns a bare Debian root file system (in $1) into the lab's host: people, groups, /cluster, and what must be
# switched off because the kernel below is somebody else's. It runs once, when the base is built; the cached
# base's key covers this file.
set -euo pipefail
root=$1

in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"; }

# person NAME UID GROUPS makes an account without subordinate ids and without a home directory.
person() {
  in_root useradd --no-create-home --home-dir "/cluster/$1" --shell /bin/bash --uid "$2" --user-group \
    -K SUB_UID_COUNT=0 -K SUB_GID_COUNT=0 --groups "$3" "$1"
}

home() { install -d -o "$2" -g "$2" -m 0700 "$root/cluster/$1"; }

people() {
  in_root groupadd --gid 6001 cgs
  in_root groupadd --gid 6002 labdata
  in_root groupadd --gid 6003 hubadmin
  person alice 5001 cgs,labdata
  person bob 5002 cgs
  person carol 5003 ""          # in no group that may log in
  person dora 5004 cgs,hubadmin # has subordinate ids already: they must be kept
  person frank 5005 cgs         # their home is a link to somebody else's: it must be refused
  person gail 5007 cgs          # has no home at all
  : >"$root/etc/subuid"
  : >"$root/etc/subgid"
  echo 'dora:200000:65536' | tee "$root/etc/subuid" >"$root/etc/subgid"
}

# erin is known to the name service only, as an account from LDAP would be.
directory_account() {
  local dir=$root/var/lib/extrausers
  install -d -m 0755 "$dir"
  echo 'erin:x:5006:5006:Erin:/cluster/erin:/bin/bash' >"$dir/passwd"
  printf '%s\n' 'erin:x:5006:' 'cgs:x:6001:erin' >"$dir/group"
  (umask 077 && echo 'erin:*:20000:0:99999:7:::' >"$dir/shadow")
  sed -i -E 's/^(passwd|group|shadow):(\s+)files/\1:\2files extrausers/' "$root/etc/nsswitch.conf"
}

cluster() {
  install -d -o 0 -g 0 -m 0755 "$root/cluster"
  home alice 5001; home bob 5002; home carol 5003; home dora 5004; home erin 5006
  ln -s /cluster/alice "$root/cluster/frank"
  install -d -o 0 -g 6002 -m 0750 "$root/cluster/shared"
  echo 'for members of labdata' >"$root/cluster/shared/secret.txt"
  chown 0:6002 "$root/cluster/shared/secret.txt"
  chmod 0640 "$root/cluster/shared/secret.txt"
  install -d -m 0755 "$root/cluster/public"
  echo 'for everyone' >"$root/cluster/public/readme.txt"
}

# The lab has its own processes, network and files, but not its own kernel: leave that kernel's devices,
# modules and settings alone.
leave_the_kernel_alone() {
  local unit
  for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
    systemd-udev-trigger.service systemd-modules-load.service systemd-sysctl.service systemd-binfmt.service \
    proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    sys-fs-fuse-connections.mount getty@.service console-getty.service apt-daily.timer apt-daily-upgrade.timer \
    e2scrub_all.timer fstrim.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
  done
}

# The tests start registries of their own.
no_registry() { ln -sf /dev/null "$root/etc/systemd/system/docker-registry.service"; }

# A new host must not share these with its siblings.
forget_identity() {
  : >"$root/etc/machine-id"
  rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root/var/lib/dbus/machine-id" "$root/etc/fstab"
}

# What mmdebstrap left for its own run: later packages keep their manual pages.
tidy() {
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/etc/dpkg/dpkg.cfg.d/99mmdebstrap
}

people
directory_account
cluster
leave_the_kernel_alone
no_registry
forget_identity
tidy
install -d -m 2755 "$root/var/log/journal"
