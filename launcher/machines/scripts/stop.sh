#!/usr/bin/env bash
# stop RUN: kill what a run left behind; `timeout` leads the process group of all that it started.
kill -KILL -- "-$(cat "$1/group")"
