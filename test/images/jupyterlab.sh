#!/bin/bash
# Finishes the root file system (in $1) of the jupyterlab image: its user, and away with what nobody reads.
set -euo pipefail
root=$1
in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/tmp "$@"; }

echo 'jovyan:x:1000:100::/home/jovyan:/bin/bash' >>"$root/etc/passwd"
echo 'jovyan:*:20000:0:99999:7:::' >>"$root/etc/shadow"
install -d -o 1000 -g 100 -m 0755 "$root/home/jovyan"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/* "$root"/var/log/* "$root"/tmp/*
find "$root/usr/lib" -depth -type d -name __pycache__ -path '*/test*' -exec rm -rf {} +

[[ $(in_root jupyterhub-singleuser --version) == 5.2.1 ]]
in_root python3 -c 'import ipykernel'
in_root jupyter kernelspec list --json | grep -q '"python3"'
rm -rf "$root"/tmp/* "$root"/tmp/.[!.]*
