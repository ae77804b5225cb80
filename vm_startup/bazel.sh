#!/usr/bin/env bash
# Train through Bazel: `bazel run //speech_commands:train -- FLAGS`. The three verbs are those of
# every recipe, and what they make is byte for byte what python.sh makes.
#
#   bash vm_startup/bazel.sh setup          install Bazel and what requirements.txt pins
#   bash vm_startup/bazel.sh train FLAGS    bazel run //speech_commands:train
#   bash vm_startup/bazel.sh freeze FLAGS   bazel run //speech_commands:freeze
#
# Runs in the job's work folder, where everything is installed; needs no root, no compiler and, with
# the archives there already, no network. What it reads from the environment stands in packages.sh
# and with_bazel.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/packages.sh"
source "$here/with_bazel.sh"

setup() {
  # The newest that brings all that an empty workspace needs: later ones download rules_cc.
  install_bazel 0.26.1
  install_packages
}

run() {
  prepare_run
  # Nothing is compiled here: no compiler is needed, nor the second that looking at one takes. The
  # virtual machine's quick compiler halves the time until training starts.
  export CC
  CC=$(type -P true)
  startup_options=(--host_jvm_args=-XX:TieredStopAtLevel=1)
  build_options=(--noshow_progress)
  run_bazel "$here" "//speech_commands:$1" "${@:2}"
}

case ${1:-} in
  setup) setup ;;
  train | freeze) run "$@" ;;
  *)
    echo "usage: bash $0 setup|train|freeze [FLAGS]" >&2
    exit 2
    ;;
esac
