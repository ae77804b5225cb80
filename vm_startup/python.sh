#!/usr/bin/env bash
# Train without Bazel. The three verbs are those of every recipe.
#
#   bash vm_startup/python.sh setup          install what requirements.txt pins, unless it is there
#   bash vm_startup/python.sh train FLAGS    speech_commands/train.py
#   bash vm_startup/python.sh freeze FLAGS   speech_commands/freeze.py
#
# Runs in the job's work folder; needs no root, no compiler and no data. What it reads from the
# environment stands in packages.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/packages.sh"

run() {
  prepare_run
  export PYTHONPATH=${here%/*}${PYTHONPATH:+:$PYTHONPATH}
  exec "$python" -m "$@"
}

case ${1:-} in
  setup) install_packages ;;
  train | freeze) run "vm_startup.speech_commands.$1" "${@:2}" ;;
  *)
    echo "usage: bash $0 setup|train|freeze [FLAGS]" >&2
    exit 2
    ;;
esac
