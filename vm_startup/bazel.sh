#!/usr/bin/env bash
# Train through Bazel: `bazel run //speech_commands:train -- FLAGS`. The three verbs are those of
# every recipe, and what they make is byte for byte what python.sh makes.
#
#   bash vm_startup/bazel.sh setup          install Bazel and what requirements.txt pins
#   bash vm_startup/bazel.sh train FLAGS    bazel run //speech_commands:train
#   bash vm_startup/bazel.sh freeze FLAGS   bazel run //speech_commands:freeze
#
# Runs in the job's work folder, where everything is installed; needs no root and, with the archives
# there already, no network. With a C compiler ($CC, or cc) the features come quicker, and are the
# same. What else it reads from the environment stands in packages.sh and with_bazel.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/packages.sh"
source "$here/with_bazel.sh"

setup() {
  # The newest that brings all that an empty workspace needs: later ones download rules_cc.
  install_bazel 0.26.1
  install_packages
}

# Whether $CC makes a library.
compiles() {
  local made=$bazel_folder/made_by_compiler.so
  rm -f "$made"
  "$CC" -shared -fPIC -nostdlib -x c -o "$made" /dev/null 2>/dev/null && [[ -s $made ]]
}

run() {
  prepare_run
  # The virtual machine's quick compiler halves the time until training starts.
  startup_options=(--host_jvm_args=-XX:TieredStopAtLevel=1)
  build_options=(--noshow_progress)
  # The front end is all there is to compile, and TensorFlow's op can stand in for it: without a
  # compiler Bazel is given one that does nothing, and nothing to compile.
  export CC=${CC:-cc}
  if compiles; then
    build_options+=(--define=compiler=yes --action_env=JOB_PYTHON)
  else
    CC=$(type -P true)
  fi
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
