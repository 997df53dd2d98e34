#!/bin/bash
# Finishes the root file system (in $1) of the notebook6 image: its user, and away with what nobody reads.
set -euo pipefail
root=$1
in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/tmp "$@"; }

echo 'jovyan:x:1000:100::/home/jovyan:/bin/bash' >>"$root/etc/passwd"
echo 'jovyan:*:19000:0:99999:7:::' >>"$root/etc/shadow"
install -d -o 1000 -g 100 -m 0755 "$root/home/jovyan"
cd "$root"
rm -rf usr/share/nodejs usr/lib/x86_64-linux-gnu/{nodejs,libnode.so.*} usr/bin/{node,nodejs,gdb} usr/include
find usr/lib -name '*.a' -delete
rm -rf var/lib/apt/lists/* var/cache/* var/log/* tmp/*

[[ $(in_root jupyterhub-singleuser --version) == 3.0.0 ]]
in_root python3 -c 'import ipykernel'
rm -rf "$root"/tmp/* "$root"/tmp/.[!.]*
