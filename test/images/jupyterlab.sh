#!/bin/bash
# Finishes the root file system (in $1) of the jupyterlab image: its user, and away with what nobody reads.
set -euo pipefail
root=$1
in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/tmp "$@"; }

echo 'jovyan:x:1000:100::/home/jovyan:/bin/bash' >>"$root/etc/passwd"
echo 'jovyan:*:20000:0:99999:7:::' >>"$root/etc/shadow"
install -d -o 1000 -g 100 -m 0755 "$root/home/jovyan"
# What built JupyterLab's pages (two thirds of all) is not needed to serve them.
cd "$root"
rm -rf usr/share/nodejs usr/lib/x86_64-linux-gnu/{nodejs,libnode.so.*} usr/bin/{node,nodejs,esbuild,gdb,yarnpkg} \
  usr/include usr/share/bootstrap-html
find usr/lib -name '*.a' -delete
find usr/share/python-babel-localedata/locale-data -name '*.dat' ! -name 'root.dat' ! -name 'en*.dat' -delete
rm -rf var/lib/apt/lists/* var/cache/* var/log/* tmp/*

[[ $(in_root jupyterhub-singleuser --version) == 5.2.1 ]]
in_root python3 -c 'import ipykernel'
in_root jupyter kernelspec list --json | grep -q '"python3"'
rm -rf "$root"/tmp/* "$root"/tmp/.[!.]*
