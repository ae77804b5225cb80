#!/usr/bin/env bash
# poll RUN OFFSET BYTES: print the state of a run (its exit code, `running` or `lost`) and the size of
# its log, then at most BYTES of the log from OFFSET on. The exit code is read before the log, so
# that a log read after an exit code is complete. The heartbeat keeps the idle timer from
# powering the machine off.
: >heartbeat
cd "$1" || exit 1
code=$(cat exit 2>/dev/null)
if [ -z "$code" ] && pid=$(cat pid 2>/dev/null) && ! kill -0 "$pid" 2>/dev/null; then
  sleep 0.2
  code=$(cat exit 2>/dev/null || echo lost)
fi
echo "${code:-running} $(stat -c %s out.log)"
tail -c "+$(($2 + 1))" out.log | head -c "$3"
