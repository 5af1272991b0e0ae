# Starts one command as a job, or finds the one that is there. Arguments: the keeper's text, home, record, user id or
# `-`, then the command. The lock makes two that come at once start one job.
keeper=$1 home=$2 record=$2/control/$3 uid=$4
shift 4
umask 077
[ -d "$home/control" ] || refuse "there is no sandbox at $home"
{ exec 9>"$record.lock" && flock 9; } || refuse "cannot lock $record.lock"
if lives "$record"; then
  exit 0
fi
if [ -e "$record" ] || [ -e "$record.exit" ]; then
  rm -f -- "$record" "$record.exit" || refuse "cannot clear $record"
fi
[ "$uid" = - ] || set -- setpriv --reuid="$uid" --regid="$uid" --clear-groups -- "$@"
# The keeper closes its standard output once it is on record; the substitution waits for that, and not for its end.
started=$(setsid /bin/sh -c "$keeper" sandboxer "$home" "$record" "$@" 9>&- &)
[ "$started" = started ] || refuse "the job did not start"
