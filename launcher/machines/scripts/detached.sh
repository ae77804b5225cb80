#!/usr/bin/env bash
# detached RUN SECONDS COMMAND: run a Bash command for at most SECONDS. The folder RUN holds its log
# and, once it has ended, its exit code.
set -C # of several starts only one can create the pid file
echo $$ >"$1/pid" || exit
set +C
timeout -k 10 "$2" bash -c "$3" >"$1/out.log" 2>&1 </dev/null &
echo $! >"$1/group"
wait $!
echo $? >"$1/exit.tmp" && mv "$1/exit.tmp" "$1/exit"
