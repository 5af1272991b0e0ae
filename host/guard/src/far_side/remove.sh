# Ends and removes all that a sandbox is. Arguments: home, the sandbox's name. It is gone afterwards, or this fails.
home=$1
fail() {
  printf 'sandboxer: %s\n' "$1" >&2
  exit 1
}
gone() {
  [ ! -e "$home" ] && [ ! -L "$home" ]
}
cd /
look "$$"
ours=$session
for record in "$home"/control/*; do
  if recall "$record" && [ "$seat" != "$ours" ]; then
    end_record "$record" "$2"
  fi
done
# Whoever left those sessions still carries the sandbox's name.
round=0
while :; do
  left=
  for entry in $(grep -laF "SANDBOXER_SANDBOX=$2" /proc/[0-9]*/environ 2>/dev/null); do
    entry=${entry#/proc/}
    entry=${entry%/environ}
    look "$entry" && [ "$session" != "$ours" ] && breathes || continue
    kill -s KILL "$entry" 2>/dev/null
    left=yes
  done
  [ -n "$left" ] || break
  round=$((round + 1))
  [ "$round" -lt 200 ] || fail "processes of $2 cannot be ended"
  sleep 0.01
done
gone && exit 0
# Nothing of another file system lies in a sandbox's directory; what is mounted there is not ours to remove.
if grep -qF " $home/" /proc/self/mountinfo; then
  fail "something is mounted in $home"
fi
rm -rf -- "$home" 2>/dev/null
gone && exit 0
# Directories that their owner may not enter are opened first. Neither command follows a symbolic link that it meets,
# and `home` itself is none here.
if [ ! -L "$home" ]; then
  chmod -R u+rwx -- "$home" 2>/dev/null
fi
rm -rf -- "$home"
gone || fail "$home is still there"
