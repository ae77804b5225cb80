#!/usr/bin/env bash
# fetch FILE LIMIT: print a plain file of at most LIMIT bytes; no link is followed, not even of a folder.
# Exit codes: 66 there is no such file; 65 it is no plain file, or larger.
if [ ! -e "$1" ] && [ ! -L "$1" ]; then exit 66; fi
if [ "$(realpath -- "$1")" != "$(pwd -P)/$1" ] || [ ! -f "$1" ] || [ "$(stat -c %s -- "$1")" -gt "$2" ]; then exit 65; fi
head -c "$(($2 + 1))" <"$1" # one byte more shows the launcher that the file has grown
