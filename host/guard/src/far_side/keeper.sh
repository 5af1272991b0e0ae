# Stays beside a job, in a session of its own, to write down how it ended. Arguments: home, record, then the command.
home=$1 record=$2
shift 2
umask 077
enroll "$record" || refuse "cannot write the record of a job in $home/control"
cd "$home/workspace" 2>/dev/null || cd /
exec 3>&1 </dev/null >"$record.out" 2>&1
printf started >&3
exec 3>&-
(
  umask 022
  exec env -i PATH="$PATH" LANG=C.UTF-8 HOME="$home/workspace" SANDBOXER_SANDBOX="${home##*/}" "$@"
)
printf '%s\n' "$?" >"$record.exit.new" && mv -f -- "$record.exit.new" "$record.exit"
