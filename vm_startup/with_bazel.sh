# shellcheck shell=bash
# Bazel, pinned by version and SHA-256, and a way to run a program through it. Read by recipes,
# after packages.sh, in the job's work folder, where Bazel keeps everything.
#
#   BAZEL_PROGRAM  where the version that is needed comes from: a file or a URL; default: its origin

bazel_folder=$PWD/bazel

# Prints the SHA-256 of a version's program for x86-64 Linux.
bazel_digest() {
  case $1 in
    0.26.1) echo 6c50e142a0a405d3d8598050d6c1b3920c8cdb82a7ffca6fc067cb474275148f ;;
    3.1.0) echo 753434f4fa730266cf5ce21d1fdd425e1e167dd9347ad3e8adc19e8c0d54edca ;;
    3.7.2) echo 70dc0bee198a4c3d332925a32d464d9036a831977501f66d4996854ad4e4fc0d ;;
    5.3.0) echo 3d144b890b85d95fb13df941bfd010fc3628e9afaa4c85e7d1a002e4fd02b249 ;;
    6.5.0) echo a40ac69263440761199fcb8da47ad4e3f328cbe79ffbf4ecc14e5ba252857307 ;;
    *) fail "Bazel $1 is none of those whose digest is known: 0.26.1 3.1.0 3.7.2 5.3.0 6.5.0" ;;
  esac
}

# install_bazel VERSION: makes it what `bazel` means to a recipe.
install_bazel() {
  local version=$1 sum file
  local bazel=$bazel_folder/bazel-$version
  local origin=https://releases.bazel.build/$version/release/bazel-$version-linux-x86_64
  sum=$(bazel_digest "$version")
  if [[ ! -x $bazel ]]; then
    file=$PWD/downloads/${origin##*/}
    fetch "$sum" "${BAZEL_PROGRAM:-$origin}" "$file"
    mkdir -p "$bazel_folder"
    cp "$file" "$bazel.new"
    chmod +x "$bazel.new"
    mv "$bazel.new" "$bazel"
  fi
  mkdir -p "$bazel_folder/bin"
  # --batch: no server outlives a command. Nobody's settings but the workspace's own.
  printf '#!/bin/sh\nexec "%s" --batch --output_user_root="%s" --nosystem_rc --nohome_rc "$@"\n' \
    "$bazel" "$bazel_folder/output" >"$bazel_folder/bin/bazel"
  chmod +x "$bazel_folder/bin/bazel"
  echo "Bazel $version: $bazel"
}

# run_bazel WORKSPACE TARGET FLAGS: becomes the program that `bazel run` makes with $python.
# startup_options and build_options are Bazel's.
#
# Bazel writes down what it would start and makes way for it, so that it holds no memory while the
# program works, and signals reach the program.
startup_options=() build_options=()
run_bazel() {
  local script=$bazel_folder/${2##*:}.sh copts
  mapfile -t copts < <(processor_copts)
  name_python
  (
    cd "$1"
    bazel "${startup_options[@]}" run -c opt "${copts[@]}" "${build_options[@]}" \
      --symlink_prefix=/ --script_path="$script" "$2" -- "${@:3}"
  )
  JOB_FOLDER=$PWD exec bash "$script"
}

# The programs that Bazel makes begin with `#!/usr/bin/env python`, a name that Ubuntu lacks.
name_python() {
  local name
  for name in python python3; do
    cat >"$bazel_folder/bin/$name" <<'SH'
#!/bin/sh
exec "$JOB_PYTHON" "$@"
SH
    chmod +x "$bazel_folder/bin/$name"
  done
  export JOB_PYTHON=$python PATH=$bazel_folder/bin:$PATH
}

# What the compiler may use of this processor.
processor_copts() {
  local feature
  for feature in avx2 fma; do
    ! grep -qw "$feature" /proc/cpuinfo || echo "--copt=-m$feature"
  done
}
