#!/usr/bin/env bash
# What a rented machine runs as root at every boot: it arms the dead-man timer.
#
# The machine powers itself off once, for $IDLE_MINUTES without a break, no job ran in $WORK and no
# launcher touched $WORK/heartbeat: whose launcher died is not paid for until its duration is over.
#
#   IDLE_MINUTES  may have a fraction
#   WORK          the launcher's work folder; need not exist yet
#
# Both are assigned in lines that whoever makes the machine puts below the first one.
set -euo pipefail
: "${IDLE_MINUTES:?}" "${WORK:?}"

# Quiet time is counted in naps and read from no clock: one that is set, or a machine that was frozen
# and thawed, cannot make time pass that nobody could have used.
NAPS=20
NAP_SECONDS=$(awk -v minutes="$IDLE_MINUTES" -v naps=$NAPS 'BEGIN { print minutes * 60 / naps }')

# A run folder names its process until it holds an exit code. That process works in $WORK: after
# another boot its number may be a stranger's.
is_at_work() {
  local pid
  for pid in "$WORK"/run-*/pid; do
    [[ -e $pid && ! -e ${pid%pid}exit ]] || continue
    [[ /proc/$(<"$pid")/cwd -ef $WORK ]] && return
  done
  return 1
}

watch_over() {
  exec 9>"$1"
  flock --nonblock 9 || exit 0 # one watch is enough
  local quiet=0 heartbeat='' latest
  while sleep "$NAP_SECONDS" 9>&-; do
    latest=$(stat -c %y "$WORK/heartbeat" 2>/dev/null) || latest=''
    if [[ $latest != "$heartbeat" ]] || is_at_work; then
      quiet=0 heartbeat=$latest
    elif ((++quiet >= NAPS)); then
      poweroff 9>&- # again at each nap, should it fail
    fi
  done
}

folder=/run/micro-speech
if ! mkdir -p $folder 2>/dev/null; then
  folder=/tmp/micro-speech
  mkdir -p $folder
fi
{
  declare -p WORK NAPS NAP_SECONDS
  declare -f is_at_work watch_over
  echo "watch_over $folder/lock"
} >"$folder/dead_man.sh"

# As a service where systemd runs, so that it is started again should it be killed.
if [[ $(</proc/1/comm) != systemd ]]; then
  setsid --fork bash "$folder/dead_man.sh" >/dev/null 2>&1 </dev/null
elif ! systemctl --quiet is-active micro-speech-dead-man; then
  systemd-run --quiet --collect --unit=micro-speech-dead-man --property=Restart=always \
    bash "$folder/dead_man.sh"
fi
