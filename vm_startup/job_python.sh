#!/bin/sh
# What `python` means to the programs that Bazel makes: the interpreter that trains.
exec "$JOB_PYTHON" "$@"
