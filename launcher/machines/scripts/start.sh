#!/usr/bin/env bash
# start RUN WORD...: start a command detached, once, however often this is called.
# Exit codes: 0 started; 17 started before; 1 it could not be started.
mkdir -p "$1" || exit 1
[ -e "$1/pid" ] && exit 17
: >>"$1/out.log"
setsid -f "${@:2}" >/dev/null 2>&1 </dev/null
for _ in {1..200}; do
  [ -e "$1/pid" ] && exit 0
  sleep 0.05
done
exit 1
