#!/usr/bin/env bash
# Train without Bazel. Every recipe has these three verbs.
#
#   bash vm_startup/python.sh setup          install the packages of requirements.txt if they are missing
#   bash vm_startup/python.sh train FLAGS    speech_commands/train.py
#   bash vm_startup/python.sh freeze FLAGS   speech_commands/freeze.py
#
# Runs in the job's work folder; needs no root and no compiler. packages.sh lists the environment
# variables that it reads.
# shellcheck source-path=SCRIPTDIR
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
