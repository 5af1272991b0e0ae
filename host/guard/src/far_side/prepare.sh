# Makes the directories of a sandbox, or completes them. Arguments: home, user id or `-`.
home=$1 root=${1%/*} uid=$2
fail() {
  printf 'sandboxer: %s\n' "$1" >&2
  exit 1
}
umask 022
if [ ! -d "$root" ]; then
  mkdir -p -- "$root" && chmod 0711 -- "$root" || fail "cannot make $root"
fi
if [ ! -d "$home" ]; then
  mkdir -m 0711 -- "$home" 2>/dev/null || [ -d "$home" ] || fail "cannot make $home"
fi
# What is there already must be ours: a name that somebody else took is not a sandbox.
[ ! -L "$home" ] && [ -O "$home" ] || fail "$home belongs to somebody else"
for part in control workspace state; do
  [ ! -L "$home/$part" ] || fail "$home/$part is a symbolic link"
done
mkdir -p -m 0700 -- "$home/control" "$home/workspace" "$home/state" || fail "cannot make the directories in $home"
if [ "$uid" != - ]; then
  chown "$uid:$uid" -- "$home/workspace" "$home/state" || fail "cannot give the workspace to user $uid"
fi
