# Unpacks a tar stream into the workspace, where the wrapper has put us, or into a directory of it. Argument: directory
# or `.`. Modes and symbolic links are kept, owners are not.
fail() {
  printf 'sandboxer: %s\n' "$1" >&2
  exit 1
}
umask 022
rest=$1/
while [ -n "$rest" ]; do
  part=${rest%%/*} rest=${rest#*/}
  case $part in
    '' | .) continue ;;
    ..) fail "the directory $1 leads out of the workspace" ;;
  esac
  [ ! -L "./$part" ] || fail "a part of the directory $1 is a symbolic link"
  [ -d "./$part" ] || mkdir -- "./$part" || fail "cannot make the directory $1"
  cd -P -- "./$part" || fail "cannot enter the directory $1"
done
# A second attempt meets what the first one left: read-only directories must take it.
for entry in ./* ./.[!.]* ./..?*; do
  if [ -e "$entry" ] || [ -L "$entry" ]; then
    chmod -R u+rwX -- . || fail "cannot write to what is there already"
    break
  fi
done
umask 000
exec tar -x -p --no-same-owner -f -
