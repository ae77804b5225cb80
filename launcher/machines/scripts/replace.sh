#!/usr/bin/env bash
# replace TARGET FOLDER: put what `receive` unpacked in FOLDER in the place of TARGET. A command of its
# own: to `tar`, a connection that breaks looks like the end of the archive.
rm -rf -- "$1" && mv -T -- "$2/content" "$1" && rmdir -- "$2"
