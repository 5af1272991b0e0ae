# Runs one command. Arguments: home, record, user id or `-`, TERM or `-`, `home` or `-`, then the command.
# The shell that runs this leads a session of its own. It puts itself on record and then becomes the command, so the
# record's process is the command, and no process of ours stays beside it.
home=$1 record=$1/control/$2 uid=$3 term=$4 needs=$5
shift 5
umask 022
if [ -d "$home/control" ]; then
  enroll "$record" || refuse "cannot write the record of a command in $home/control"
  # Whoever stops this command leaves a tombstone before looking for the record, and this looks for the tombstone
  # after writing the record: one of the two always sees the other.
  if [ -e "$record.stop" ]; then
    rm -f -- "$record" "$record.stop"
    exit 137
  fi
elif [ "$needs" = home ]; then
  refuse "there is no sandbox at $home"
fi
cd "$home/workspace" 2>/dev/null || cd /
[ "$uid" = - ] || set -- setpriv --reuid="$uid" --regid="$uid" --clear-groups -- "$@"
[ "$term" = - ] || set -- TERM="$term" "$@"
exec env -i PATH="$PATH" LANG=C.UTF-8 HOME="$home/workspace" SANDBOXER_SANDBOX="${home##*/}" "$@"
