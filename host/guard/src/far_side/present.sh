# Prints the directory of a sandbox when it is there, else nothing. Argument: home.
if [ -e "$1" ] || [ -L "$1" ]; then
  printf '%s\n' "$1"
fi
