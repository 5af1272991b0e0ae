# The control stream: ends what must not outlive its client. Reads one order a line; a record is followed by `:t` when
# its command has a terminal.
#   + RECORD       watch the command of this record
#   - RECORD       it is done: forget it and remove the record
#   ! RECORD       end it now; answers `stopped RECORD`
#   k SIG RECORD   send its process group a signal
# When the stream ends, for whatever reason, everything that is still watched is ended.
trap '' HUP INT QUIT TERM PIPE
umask 077
watched=' '
forget() {
  case $watched in
    *" $1 "*) watched="${watched%%" $1 "*} ${watched#*" $1 "}" ;;
  esac
}
stop() {
  path=${1%:t} name=
  home=${path%/control/*}
  [ -d "$home/control" ] || return 0
  # A terminal that goes away kills the process on record first, and not what ignores that.
  [ "$path" = "$1" ] || name=${home##*/}
  # The tombstone comes before the look: see the wrapper of a command.
  { : >"$path.stop"; } 2>/dev/null
  if end_record "$path" "$name"; then
    rm -f -- "$path" "$path.stop"
  fi
}
while read -r order first second; do
  case $order in
    +) watched="$watched$first " ;;
    -)
      forget "$first"
      rm -f -- "${first%:t}" "${first%:t}.stop"
      ;;
    !)
      forget "$first"
      stop "$first"
      printf 'stopped %s\n' "$first"
      ;;
    k)
      if lives "${second%:t}"; then
        kill -s "$first" -- "-$group" 2>/dev/null
      fi
      ;;
  esac
done
for record in $watched; do
  stop "$record"
done
