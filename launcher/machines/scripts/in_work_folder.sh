#!/usr/bin/env bash
# in_work_folder WORD...: run a command in the work folder, which is created if it is missing.
work=~/micro-speech
cd "$work" 2>/dev/null || { mkdir -p "$work" && cd "$work"; } || exit
exec "$@"
