# shellcheck shell=bash source-path=SCRIPTDIR
# Bazel, pinned by version and SHA-256, and a way to run a program through it. Sourced by recipes, in
# the job's work folder, where Bazel keeps everything.
#
#   BAZEL_PROGRAM  where Bazel comes from: a file or a URL; default: its releases
#   BAZEL_SHA256   the SHA-256 of a version other than 0.26.1

source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"

bazel_folder=$PWD/bazel

# Prints the SHA-256 of a version's program for x86-64 Linux.
bazel_digest() {
  if [[ $1 == 0.26.1 ]]; then # what bazel.sh and TensorFlow 1.15 use
    echo 6c50e142a0a405d3d8598050d6c1b3920c8cdb82a7ffca6fc067cb474275148f
  else
    echo "${BAZEL_SHA256:-}"
  fi
}

# install_bazel VERSION: makes it the recipe's `bazel`.
install_bazel() {
  local version=$1 sum file
  local bazel=$bazel_folder/bazel-$version
  local origin=https://releases.bazel.build/$version/release/bazel-$version-linux-x86_64
  sum=$(bazel_digest "$version")
  [[ -n $sum ]] ||
    fail "the SHA-256 of Bazel $version is not known: set BAZEL_SHA256 to that of $origin"
  if [[ ! -x $bazel ]]; then
    file=$PWD/downloads/${origin##*/}
    fetch "$sum" "${BAZEL_PROGRAM:-$origin}" "$file"
    mkdir -p "$bazel_folder"
    cp "$file" "$bazel.new"
    chmod +x "$bazel.new"
    mv "$bazel.new" "$bazel"
  fi
  mkdir -p "$bazel_folder/bin"
  # --batch: no server outlives a command. No settings but the workspace's own.
  printf '#!/bin/sh\nexec "%s" --batch --output_user_root="%s" --nosystem_rc --nohome_rc "$@"\n' \
    "$bazel" "$bazel_folder/output" >"$bazel_folder/bin/bazel"
  chmod +x "$bazel_folder/bin/bazel"
  echo "Bazel $version: $bazel"
}

# run_bazel WORKSPACE TARGET FLAGS: becomes the program that `bazel run` makes, with $python.
# startup_options and build_options are Bazel's.
#
# Bazel writes a script that starts the program, and ends. So it uses no memory while the program
# works, and signals reach the program.
startup_options=() build_options=()
run_bazel() {
  local script=$bazel_folder/${2##*:}.sh copts
  mapfile -t copts < <(processor_copts)
  name_python
  (
    cd "$1" || exit
    bazel "${startup_options[@]}" run -c opt "${copts[@]}" "${build_options[@]}" \
      --symlink_prefix=/ --script_path="$script" "$2" -- "${@:3}"
  )
  JOB_FOLDER=$PWD exec bash "$script"
}

# The programs that Bazel makes begin with `#!/usr/bin/env python`, a name that Ubuntu lacks.
name_python() {
  local name
  for name in python python3; do
    cp "$scripts/job_python.sh" "$bazel_folder/bin/$name"
    chmod +x "$bazel_folder/bin/$name"
  done
  export JOB_PYTHON=$python PATH=$bazel_folder/bin:$PATH
}

# The compiler's flags for this processor.
processor_copts() {
  local feature
  for feature in avx2 fma; do
    ! grep -qw "$feature" /proc/cpuinfo || echo "--copt=-m$feature"
  done
}
