#!/usr/bin/env bash
# run_bounded SECONDS WORD...: run a command without input; kill its process group after SECONDS.
exec </dev/null
timeout -s KILL "$@"
exit $? # no `exec`: `timeout` kills itself too, and sshd reports no exit code for a killed shell
