#!/bin/sh
# agent @VERSION@: behind the last line of this script lies an archive of the Deno runtime and the program.
#
#   a copy of this version unpacked? ── no ──▶ unpack beside its place, try it, move it there, forget old versions
#                  │ yes                                             │
#                  ▼                                                 ▼
#   hold the version's lock ─▶ clean the environment ─▶ heap limit of the cgroup ─▶ exec deno
#
# Nothing secret is unpacked. A copy is used only where root or the caller alone could have written it.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
version=@HASH@
self=$0

fail() {
  echo "agent: $1" >&2
  exit 1
}

case $self in
*/*) ;;
*) [ -f "./$self" ] && self=./$self || fail "cannot find myself as $self: run me by a path, like ./agent" ;;
esac

# trusted DIRECTORY...: each is a directory, no symbolic link (mode 777), of root or the caller, writable to no other.
trusted() {
  for each; do [ -d "$each" ] || return 1; done
  LC_ALL=C stat -c '%u %a %n' "$@" | while read -r owner mode name; do
    case $mode in *[2367]? | *[2367]) return 1 ;; esac
    [ "$owner" = 0 ] || [ -O "$name" ] || return 1
  done
}

# ready BASE: this version lies there, whole (what is moved into place is).
ready() { [ -x "$1/$version/agent" ] && trusted "$1" "$1/$version"; }

# own_cache: where a caller who may not write to the shared place keeps a copy.
own_cache() {
  case ${XDG_CACHE_HOME-} in /*) echo "$XDG_CACHE_HOME/agent" && return ;; esac
  home=${HOME-}
  if [ -z "$home" ]; then
    while IFS=: read -r _ _ user _ _ entry _; do
      if [ "$user" = "$(id -u)" ]; then home=$entry && break; fi
    done </etc/passwd
  fi
  if [ -n "$home" ] && [ -O "$home" ] && [ -w "$home" ]; then echo "$home/.cache/agent"; else echo "/tmp/.agent-$(id -u)"; fi
}

# works DIRECTORY: its runtime starts. Ends with a line that says why where it does not.
works() {
  why=$(LC_ALL=C "$1/agent" --version 2>&1 >/dev/null) && return
  [ -x "$1/agent" ] || fail "cannot run programs from ${1%/*}: it is mounted noexec; set AGENT_UNPACK_DIR to a directory elsewhere"
  case $why in
  *GLIBC_*) fail "this system's C library is too old: glibc 2.27 or newer is needed ($why)" ;;
  *"not found"* | *"No such file"*) fail "this system has no glibc (musl?): glibc 2.27 or newer is needed" ;;
  *"Exec format"*) fail "this file is for @ARCH@, and this machine is $(uname -m)" ;;
  esac
  fail "cannot run $1/agent: $why"
}

# forget_old BASE: removes versions that no process holds, and what a killed unpacking left.
forget_old() (
  find "$1" -maxdepth 1 -name '.new.*' -mmin +60 -exec rm -rf {} + 2>/dev/null
  command -v flock >/dev/null || exit 0
  for old in "$1"/????????????????; do
    [ "$old" != "$1/$version" ] && [ -x "$old/agent" ] || continue
    { flock -n -x 8 && mv -T "$old" "$1/.new.$$" && rm -rf "$1/.new.$$"; } 8>>"$old.lock" || continue
  done
) 2>/dev/null

# unpack BASE: whoever is first wins, and the other copies are thrown away.
unpack() (
  umask 022
  mkdir -p "$1" 2>/dev/null || fail "cannot make $1 to unpack into; set AGENT_UNPACK_DIR to a directory you may write to"
  trusted "$1" || fail "cannot unpack into $1: it is not a directory of yours that only you may write to; remove it, or set AGENT_UNPACK_DIR to another"
  new=$(mktemp -d "$1/.new.XXXXXX" 2>/dev/null) || fail "cannot write to $1; set AGENT_UNPACK_DIR to a directory you may write to"
  trap 'rm -rf "$new"' EXIT
  trap 'exit 1' HUP INT TERM
  command -v @PROGRAM@ >/dev/null || fail "cannot unpack $self: install @PROGRAM@"
  said=$({ tail -c +@OFFSET@ "$self" | @UNPACK@ | tar -xf - -C "$new"; } 2>&1) ||
    fail "cannot unpack $self into $1, for lack of space or because the file is damaged: ${said%%
*}"
  chmod 0755 "$new"
  works "$new"
  : >>"$1/$version.lock"
  mv -T "$new" "$1/$version" 2>/dev/null || ready "$1" || fail "cannot use $1/$version: somebody else made it; remove it"
  forget_old "$1" || :
)

# hold DIRECTORY: from here to its end the program has a shared lock; a version that is held is not removed. Who may
# not read the lock, or finds it held alone for a second (by whoever removes it, or out of malice), goes on without.
hold() {
  [ -r "$1.lock" ] && command -v flock >/dev/null || return 0
  exec 9<"$1.lock"
  flock -s -w 1 9 || :
}

shared=${AGENT_UNPACK_DIR:-/var/cache/agent}
base=
for try in 1 2 3; do
  if ready "$shared"; then
    base=$shared
  elif [ -n "${AGENT_UNPACK_DIR-}" ] || [ "$(id -u)" = 0 ]; then
    base=$shared
    unpack "$base"
  else
    base=$(own_cache)
    ready "$base" || unpack "$base"
  fi
  hold "$base/$version"
  # It may have been removed as old between the look and the lock.
  [ -x "$base/$version/agent" ] && break
done
dir=$base/$version
case ${1-} in daemon | run) forget_old "$base" || : ;; esac

# Deno and Node are told things by variables. None of a caller's reaches them; DENO_DIR has the compiled code.
case $(export -p) in
*DENO_*)
  for name in $(export -p | sed -n 's/^[a-z -]* \(DENO_[A-Za-z0-9_]*\).*/\1/p'); do unset "$name"; done
  ;;
esac
unset NODE_OPTIONS NODE_PATH COMPLETE
export DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1 DENO_DIR="$dir/cache" AGENT_ARGV0="$self"

# The lowest memory limit of the cgroup and those above it, in bytes: V8 would only see the machine's memory.
least=
limit_of() {
  [ -r "$1" ] && read -r value <"$1" || return 0
  case $value in *[!0-9]* | '' | ????????????????*) return 0 ;; esac
  if [ -z "$least" ] || [ "$value" -lt "$least" ]; then least=$value; fi
}
if [ -r /proc/self/cgroup ]; then
  while IFS=: read -r _ kind path; do
    case $kind in
    '') root=/sys/fs/cgroup file=memory.max ;;
    memory | memory,* | *,memory | *,memory,*) root=/sys/fs/cgroup/memory file=memory.limit_in_bytes ;;
    *) continue ;;
    esac
    while :; do
      limit_of "$root${path%/}/$file"
      case $path in */*) path=${path%/*} ;; *) break ;; esac
    done
  done </proc/self/cgroup
fi
heap=1024
if [ -n "$least" ]; then
  # What is not heap: the runtime, the packet buffers, the kernel's sockets.
  heap=$((least / 1048576 - @OUTSIDE_HEAP@))
  [ "$heap" -le 1024 ] || heap=1024
  [ "$heap" -ge 48 ] || heap=48
fi

exec "$dir/agent" run -A --no-prompt --no-config --no-lock --no-remote --no-npm --v8-flags=--max-old-space-size=$heap \
  "$dir/main.js" "$@"
