#!/usr/bin/env bash
# Train through Bazel: `bazel run //speech_commands:train -- FLAGS`. The three verbs are those of
# every recipe, and what they make is byte for byte what python.sh makes.
#
#   bash vm_startup/bazel.sh setup          install Bazel and what requirements.txt pins
#   bash vm_startup/bazel.sh train FLAGS    bazel run //speech_commands:train
#   bash vm_startup/bazel.sh freeze FLAGS   bazel run //speech_commands:freeze
#
# Runs in the job's work folder, where everything is installed; needs no root and, with the archives
# there already, no network. What it reads from the environment stands in packages.sh, and:
#
#   BAZEL_ARCHIVE  where Bazel comes from: a file or a URL; default: npm's registry
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/packages.sh"

# The newest whose archive holds all that an empty workspace needs: later ones download rules_cc.
version=0.26.1
archive_url=https://registry.npmjs.org/@bazel/bazel-linux_x64/-/bazel-linux_x64-$version.tgz
archive_sha256=178e02ced40dce5d3957a71d5ce8b19b2eb436ce53a2eb037700639dc32bc5e5
folder=$PWD/bazel
bazel=$folder/bazel-$version

install_bazel() {
  [[ -x $bazel ]] && return
  mkdir -p "$folder"
  fetch $archive_sha256 "${BAZEL_ARCHIVE:-$archive_url}" "$PWD/downloads/bazel-$version.tgz"
  tar -xzf "$PWD/downloads/bazel-$version.tgz" -O package/bazel-$version-linux-x86_64 >"$bazel.new"
  chmod +x "$bazel.new"
  mv "$bazel.new" "$bazel"
  echo "Bazel $version: $bazel"
}

run() {
  prepare_run
  name_python
  local script=$folder/$1.sh copts
  mapfile -t copts < <(processor_copts)
  # Bazel writes down what it would start and makes way for it, so that it holds no memory while
  # the trainer works, and signals reach the trainer. --batch: no server outlives a command.
  # CC: nothing here is compiled, so no compiler is needed, nor a second spent on looking at it.
  (
    cd "$here"
    CC=$(type -P true) "$bazel" \
      --batch --output_user_root="$folder/output" --nosystem_rc --nohome_rc \
      --host_jvm_args=-XX:TieredStopAtLevel=1 \
      run -c opt "${copts[@]}" --python_path="$python" --symlink_prefix=/ --noshow_progress \
      --script_path="$script" "//speech_commands:$1" -- "${@:2}"
  )
  JOB_FOLDER=$PWD exec bash "$script"
}

# The programs that Bazel makes begin with `#!/usr/bin/env python`, a name that Ubuntu lacks.
name_python() {
  mkdir -p "$folder/bin"
  cat >"$folder/bin/python" <<'SH'
#!/bin/sh
exec "$JOB_PYTHON" "$@"
SH
  chmod +x "$folder/bin/python"
  export JOB_PYTHON=$python PATH=$folder/bin:$PATH
}

# What the compiler may use of this processor.
processor_copts() {
  local feature
  for feature in avx2 fma; do
    ! grep -qw "$feature" /proc/cpuinfo || echo "--copt=-m$feature"
  done
}

case ${1:-} in
  setup)
    install_bazel
    install_packages
    ;;
  train | freeze) run "$@" ;;
  *)
    echo "usage: bash $0 setup|train|freeze [FLAGS]" >&2
    exit 2
    ;;
esac
