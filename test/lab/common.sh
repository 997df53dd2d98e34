# shellcheck shell=bash
# What test/lab, test/images and test/idp share: where things are kept, and how missing tools are installed.
# It is sourced, never run.

shopt -s inherit_errexit # a command substitution that fails ends the script
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
# cache and run are what the scripts that source this use.
# shellcheck disable=SC2034
cache=${GIFFORD_CACHE:-$repo/.cache}
# shellcheck disable=SC2034
run=${GIFFORD_RUN:-/var/tmp/gifford-lab}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$@"; exit 1; }

as_root() { [[ $EUID -eq 0 ]] || die "must run as root (hint: sudo $0 …)"; }

# need COMMAND PACKAGE installs a Debian package if its command is not there.
need() {
  command -v "$1" >/dev/null && return
  say "installing $2"
  apt-get install -qq -y --no-install-recommends "$2" >&2 2>/dev/null ||
    { apt-get update -qq >&2 && apt-get install -qq -y --no-install-recommends "$2" >&2; } ||
    die "cannot install $2"
}

# key_of WORD… -- FILE… is a short name for "made from exactly these words and files".
key_of() {
  local words=()
  while [[ $# -gt 0 && $1 != -- ]]; do words+=("$1"); shift; done
  shift
  { printf '%s\n' "${words[@]}"; cat "$@"; } | sha256sum | cut -c1-16
}

# locked NAME holds an exclusive lock for the rest of the (sub)shell that calls it.
locked() {
  mkdir -p "$cache"
  exec {lock_fd}>"$cache/.$1.lock"
  flock "$lock_fd"
}
