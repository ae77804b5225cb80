#!/usr/bin/env bash
# What a machine runs as root at every boot: it starts the dead-man timer.
#
# The machine powers itself off after $IDLE_MINUTES in which no job ran in $WORK and no launcher
# touched $WORK/heartbeat. So a machine whose launcher died costs nothing more after that.
#
#   IDLE_MINUTES  may have a fraction
#   WORK          the launcher's work folder; need not exist yet
#
# The launcher assigns both in lines that it inserts below the first line.
set -euo pipefail
: "${IDLE_MINUTES:?}" "${WORK:?}"

# Idle time is counted in naps and not read from a clock. So a changed clock, or a machine that was
# frozen and thawed, does not add idle time.
NAPS=20
NAP_SECONDS=$(awk -v minutes="$IDLE_MINUTES" -v naps=$NAPS 'BEGIN { print minutes * 60 / naps }')

# A run folder names its process until it holds an exit code. That process works in $WORK: after a
# reboot its number may belong to another process.
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
  flock --nonblock 9 || exit 0 # another watch runs already
  local quiet=0 heartbeat='' latest
  while sleep "$NAP_SECONDS" 9>&-; do
    latest=$(stat -c %y "$WORK/heartbeat" 2>/dev/null) || latest=''
    if [[ $latest != "$heartbeat" ]] || is_at_work; then
      quiet=0 heartbeat=$latest
    elif ((++quiet >= NAPS)); then
      poweroff 9>&- # repeated at each nap if it fails
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

# With systemd as a service, which is restarted if it is killed.
if [[ $(</proc/1/comm) != systemd ]]; then
  setsid --fork bash "$folder/dead_man.sh" >/dev/null 2>&1 </dev/null
elif ! systemctl --quiet is-active micro-speech-dead-man; then
  systemd-run --quiet --collect --unit=micro-speech-dead-man --property=Restart=always \
    bash "$folder/dead_man.sh"
fi
