# Asks after a job. Arguments: home, record. Answers `running`, `ended N` or `absent`.
record=$1/control/$2
answer() {
  { read -r status <"$record.exit"; } 2>/dev/null && printf 'ended %s\n' "$status" && exit 0
}
answer
if lives "$record"; then
  printf 'running\n'
elif recall "$record"; then
  # It may have ended between the two looks; if it did not write how, it was killed together with its keeper.
  answer
  printf 'ended 137\n'
else
  printf 'absent\n'
fi
