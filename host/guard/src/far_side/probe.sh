# Looks at a host and changes nothing. Arguments: the root for sandboxes or `-`, then names of programs.
# Answers one `key=value` a line; keys that can come several times: program, engine, sandbox.
say() {
  printf '%s=%s\n' "$1" "$2"
}
# The first word after KEY in a file of `KEY words` lines.
field() {
  while read -r key value rest; do
    if [ "$key" = "$2" ]; then
      found=$value
      return 0
    fi
  done <"$1"
  return 1
}
# Whether a name is a program on PATH. `command -v` would also find words of the shell.
on_path() {
  case $1 in
    /*) [ -f "$1" ] && [ -x "$1" ] && return 0 || return 1 ;;
  esac
  dirs=$PATH:
  while [ -n "$dirs" ]; do
    dir=${dirs%%:*} dirs=${dirs#*:}
    [ -f "$dir/$1" ] && [ -x "$dir/$1" ] && return 0
  done
  return 1
}
root=$1
shift
uid='' found=''
field "/proc/$$/status" Uid: && uid=$found
if [ "$root" = - ]; then
  if [ "$uid" = 0 ]; then
    root=/var/lib/sandboxer
  else
    root=${XDG_DATA_HOME:-$HOME/.local/share}/sandboxer/sandboxes
  fi
fi
say root "$root"
say uid "$uid"

os=Linux
if [ -r /etc/os-release ]; then
  while IFS='=' read -r key value; do
    if [ "$key" = PRETTY_NAME ]; then
      value=${value#[\"\']}
      os=${value%[\"\']}
    fi
  done </etc/os-release
fi
say os "$os"
if [ -r /proc/sys/kernel/arch ]; then
  read -r release </proc/sys/kernel/osrelease
  read -r machine </proc/sys/kernel/arch
  say kernel "$release $machine"
else
  say kernel "$(uname -rm)"
fi

cpus=0
while read -r key rest; do
  case $key in
    cpu[0-9]*) cpus=$((cpus + 1)) ;;
    cpu) ;;
    *) break ;;
  esac
done </proc/stat
say cpus "$cpus"
field /proc/meminfo MemTotal: && say memory_total "$found"
field /proc/meminfo MemAvailable: && say memory_available "$found"

near=$root
while [ ! -d "$near" ] && [ -n "$near" ]; do
  near=${near%/*}
done
df -Pk -- "${near:-/}" 2>/dev/null | {
  read -r header
  read -r device total used available rest
  say disk_total "$total"
  say disk_available "$available"
}

for name in "$@"; do
  on_path "$name" && say program "$name"
done
for name in docker podman; do
  on_path "$name" && say engine "$name"
done

# Settings that forbid it settle the matter; otherwise only trying tells, since containers and AppArmor forbid it
# unseen.
namespaces=yes
for setting in kernel/unprivileged_userns_clone user/max_user_namespaces; do
  if [ -r "/proc/sys/$setting" ]; then
    read -r value <"/proc/sys/$setting"
    [ "$value" != 0 ] || namespaces=no
  fi
done
if [ "$namespaces" = yes ]; then
  if [ "$uid" = 0 ]; then
    setpriv --reuid=65534 --regid=65534 --clear-groups -- unshare --user --map-root-user true 2>/dev/null || namespaces=no
  else
    unshare --user --map-root-user true 2>/dev/null || namespaces=no
  fi
fi
say namespaces "$namespaces"

for entry in "$root"/sbx-*; do
  [ -d "$entry" ] && say sandbox "${entry##*/}"
done
say end yes
