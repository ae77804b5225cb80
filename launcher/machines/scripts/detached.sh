#!/usr/bin/env bash
# detached RUN SECONDS COMMAND BYTES: run a Bash command for at most SECONDS. The folder RUN holds its
# log and, once it has ended, its exit code. Of an endless log the middle takes no room on the disk:
# all but its first and its last BYTES are a hole, where the file system can have one.
set -C # of several starts only one can create the pid file
echo $$ >"$1/pid" || exit
set +C
timeout -k 10 "$2" bash -c "$3" >"$1/out.log" 2>&1 </dev/null &
group=$!
echo $group >"$1/group"
while sleep 1 && kill -0 $$; do
  middle=$(($(stat -c %s "$1/out.log") - 2 * $4))
  [ "$middle" -le 0 ] || fallocate --punch-hole --offset "$4" --length "$middle" "$1/out.log"
done >/dev/null 2>&1 &
wait $group
echo $? >"$1/exit.tmp" && mv "$1/exit.tmp" "$1/exit"
