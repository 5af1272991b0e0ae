# What the other scripts know about processes. Everything comes from /proc with the shell's own words, without a fork.

# One PATH for every script and every command on the far side.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

# Reads /proc/PID/stat into $state, $group, $session and $born; fails when there is no such process. The name in the
# parentheses is the process's own choice: it may hold spaces, parentheses and newlines. So the whole file is read, and
# fields are counted from the last `) ` on, which no name can follow.
look() {
  stat=
  { while IFS= read -r part || [ -n "$part" ]; do stat="$stat $part"; done <"/proc/$1/stat"; } 2>/dev/null
  case $stat in *") "*) ;; *) return 1 ;; esac
  set -- ${stat##*") "}
  state=$1 group=$3 session=$4
  shift 19
  born=$1
}

# Whether a process does anything any more.
breathes() {
  case $state in Z | X | x) return 1 ;; esac
}

# Writes the record of this very process, before it becomes the command: pid, start time, session.
enroll() {
  look "$$" && printf '%s %s %s\n' "$$" "$born" "$session" >"$1"
}

# Reads a record into $pid, $began and $seat; fails when there is none or when it is not complete.
recall() {
  pid='' began='' seat=''
  { read -r pid began seat <"$1"; } 2>/dev/null
  [ -n "$seat" ]
}

# Whether the process on record lives: the same pid with another start time is another process.
lives() {
  recall "$1" && look "$pid" && [ "$born" = "$began" ] && breathes
}

# Whether a process carries our sandbox's name in its environment.
carries() {
  grep -qaF "SANDBOXER_SANDBOX=$2" "/proc/$1/environ" 2>/dev/null
}

# Kills every process of session $1 until none is left. With a name in $2 only those that carry it: for a session whose
# leader is gone, so that its number proves nothing any more. Names of its own for what it keeps: all are global here.
# `grep` finds the candidates quickly, also where there are thousands of processes; `look` decides, since a process may
# be called something that looks like the rest of a line.
end_session() {
  of_seat=$1 of_name=$2 rounds=0
  while :; do
    left=
    for entry in $(grep -lE "\) [A-Za-z] [0-9]+ [0-9]+ $of_seat -?[0-9]+ " /proc/[0-9]*/stat 2>/dev/null); do
      entry=${entry#/proc/}
      entry=${entry%/stat}
      look "$entry" && [ "$session" = "$of_seat" ] && breathes || continue
      [ -z "$of_name" ] || carries "$entry" "$of_name" || continue
      kill -s KILL "$entry" 2>/dev/null
      left=yes
    done
    [ -n "$left" ] || return 0
    rounds=$((rounds + 1))
    [ "$rounds" -lt 200 ] || return 1
    [ "$rounds" -lt 4 ] || sleep 0.01
  done
}

# Ends what a record stands for: the session that its process leads, as long as that process is there and the one on
# record. When it is gone it ended by itself, and what it left running was meant to stay; unless a name is given in $2:
# then what is left of its session and carries the sandbox's name is ended too. Fails when there is no record.
end_record() {
  recall "$1" || return 1
  if look "$pid" && [ "$born" = "$began" ] && [ "$session" = "$pid" ]; then
    # Its own group first, which needs no walk.
    kill -s KILL -- "-$pid" 2>/dev/null
    end_session "$pid" ''
  elif [ -n "$2" ]; then
    end_session "$seat" "$2"
  fi
  return 0
}

# Says why nothing was started. 125 is what `env`, `setpriv` and container engines use for their own failures.
refuse() {
  printf 'sandboxer: %s\n' "$1" >&2
  exit 125
}
