#!/usr/bin/env bash
# wait_for_output COMMAND: run a Bash command; its exit code. Each `cat` waits until no process holds
# that output any more, so that the time of a child in the background is bounded too.
{
  bash -c "$1" 2>&1 >&3 3>&- | cat >&2
  exit "${PIPESTATUS[0]}"
} 3>&1 | cat
exit "${PIPESTATUS[0]}"
