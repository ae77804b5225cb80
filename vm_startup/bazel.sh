#!/usr/bin/env bash
# Train through Bazel: `bazel run //speech_commands:train -- FLAGS`. Every recipe has these three
# verbs. The results equal those of python.sh, byte for byte.
#
#   bash vm_startup/bazel.sh setup          install Bazel and the packages of requirements.txt
#   bash vm_startup/bazel.sh train FLAGS    bazel run //speech_commands:train
#   bash vm_startup/bazel.sh freeze FLAGS   bazel run //speech_commands:freeze
#
# Runs in the job's work folder, where everything is installed; needs no root and, if everything is
# downloaded already, no network. With a C compiler ($CC, or cc) features are computed faster, with
# the same values. packages.sh and with_bazel.sh list the environment variables that it reads.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/with_bazel.sh"

setup() {
  # The newest version that needs no downloads for an empty workspace: later ones fetch rules_cc.
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
  # Java's fast compiler alone halves the time until training starts.
  startup_options=(--host_jvm_args=-XX:TieredStopAtLevel=1)
  build_options=(--noshow_progress)
  # Only the front end is compiled, and TensorFlow's op can replace it. Without a compiler, Bazel gets
  # one that does nothing, and nothing to compile.
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
