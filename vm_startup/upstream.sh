#!/usr/bin/env bash
# Train the classic way: TensorFlow's own examples, built from source by the Bazel that their tree
# needs. Every recipe has these three verbs.
#
#   bash vm_startup/upstream.sh setup          install the tree, its Bazel, its Python and our own
#   bash vm_startup/upstream.sh train FLAGS    bazel run tensorflow/examples/speech_commands:train
#   bash vm_startup/upstream.sh freeze FLAGS   bazel run tensorflow/examples/speech_commands:freeze
#
# Flags that the tree's programs do not know are left out, and the log names them. Our own Python
# first downloads the recordings, and finally evaluates the frozen graph. Runs in the job's work
# folder; needs a C++ compiler that can build the tree. packages.sh and with_bazel.sh list the
# environment variables that it reads, and:
#
#   TENSORFLOW_TREE                      an existing tree; its configure writes to it
#   TENSORFLOW_ARCHIVE TENSORFLOW_SHA256 another tree's archive, a file or a URL; default: 1.15.5,
#                                        of the last series whose --quantize works
#   UPSTREAM_PYTHON                      an interpreter with the tree's packages; default: one made
#                                        of python3.7 and upstream_requirements.txt
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/with_bazel.sh"

archive_url=https://github.com/tensorflow/tensorflow/archive/v1.15.5.tar.gz
archive_sha256=4c4d23e311093ded2d2e287b18d7c45b07b5984ab88a1d2f91f8f13c886123db
tree=${TENSORFLOW_TREE:-$PWD/upstream}
upstream_venv=$PWD/upstream_venv
examples=tensorflow/examples/speech_commands

setup() {
  install_upstream_python
  install_packages
  install_tree
  local version
  version=$(asked_version)
  install_bazel "$version"
  configure
}

install_upstream_python() {
  [[ -z ${UPSTREAM_PYTHON:-} ]] || return 0
  cmp -s "$here/upstream_requirements.txt" "$upstream_venv/requirements.txt" && return
  type -P python3.7 >/dev/null ||
    fail "TensorFlow 1.15 needs Python 3.7: install it, or name a Python for your tree in UPSTREAM_PYTHON"
  make_venv python3.7 "$here/upstream_requirements.txt" "$upstream_venv"
}

install_tree() {
  [[ ! -e $tree ]] || return 0
  fetch "${TENSORFLOW_SHA256:-$archive_sha256}" "${TENSORFLOW_ARCHIVE:-$archive_url}" \
    "$PWD/downloads/tensorflow.tar.gz"
  rm -rf "$tree.new"
  mkdir "$tree.new"
  tar -xzf "$PWD/downloads/tensorflow.tar.gz" --strip-components=1 -C "$tree.new"
  mv "$tree.new" "$tree"
}

# The Bazel that the tree is tested with; older trees name the newest that they support.
asked_version() {
  if [[ -e $tree/.bazelversion ]]; then
    head -n 1 "$tree/.bazelversion"
  else
    sed -nE "s/^_TF_MAX_BAZEL_VERSION = ['\"]([0-9.]+)['\"].*/\1/p" "$tree/configure.py"
  fi
}

# Answers the questions of the tree's configure: a build for this processor only.
configure() {
  find_upstream_python
  name_python
  (
    cd "$tree"
    export PYTHON_BIN_PATH=$bazel_folder/bin/python USE_DEFAULT_PYTHON_LIB_PATH=1
    export TF_NEED_CUDA=0 TF_NEED_ROCM=0 TF_NEED_OPENCL_SYCL=0 TF_NEED_MPI=0 TF_ENABLE_XLA=0
    export TF_NEED_CLANG=0 TF_DOWNLOAD_CLANG=0 TF_SET_ANDROID_WORKSPACE=0 TF_CONFIGURE_IOS=0
    export CC_OPT_FLAGS=-Wno-sign-compare
    ./configure </dev/null
  )
}

find_upstream_python() {
  python=$(type -P "${UPSTREAM_PYTHON:-$upstream_venv/bin/python}") ||
    fail "Python packages are missing: run setup first"
}

train() {
  local data newest flags
  data=$(recordings "$@")
  mkdir -p train
  # For the evaluation after the freeze.
  printf '%s\0' "$@" --data_url= --synthetic_clips=0 "--data_dir=$data" >train/flags
  newest=$(newest_checkpoint train)
  [[ -z $newest ]] || set -- "$@" "--start_checkpoint=$newest"
  choose_flags train "$@" --data_url= "--data_dir=$data"
  (run_upstream train "${flags[@]}") 2>&1 | delay_checkpoint_lines
  cp train/*_labels.txt train/labels.txt
}

freeze() {
  local flags trained start
  start=$(value_of --start_checkpoint "$@")
  if [[ -d $start ]]; then
    start=$(newest_checkpoint "$start")
    [[ -n $start ]] || fail "$(value_of --start_checkpoint "$@") has no checkpoint: train first"
  fi
  choose_flags freeze "$@" "--start_checkpoint=$start"
  (run_upstream freeze "${flags[@]}")
  mapfile -d '' trained <train/flags
  run_ours -m vm_startup.speech_commands.evaluate_graph "${trained[@]}" "--graph=$(value_of --output_file "$@")"
}

run_upstream() {
  find_upstream_python
  export PYTHONUNBUFFERED=1
  build_options=(--show_progress_rate_limit=60)
  run_bazel "$tree" "$examples:$1" "${@:2}"
}

run_ours() (
  prepare_run
  PYTHONPATH=${here%/*} exec "$python" "$@"
)

# Prints the folder with the recordings that the flags name; downloads and verifies an archive.
recordings() {
  local folder url
  folder=$(value_of --data_dir "$@")
  url=$(value_of --data_url "$@")
  if [[ -n $folder && -z $url ]]; then
    absolute "$folder"
  elif [[ -n $url && -z $folder ]]; then
    run_ours -m vm_startup.speech_commands.data.archive "$url" "$(value_of --data_sha256 "$@")" \
      "$PWD/cache"
  else
    echo "error: TensorFlow's own trainer takes one folder of recordings or one archive, and no" \
      "synthetic speech: name data.folder or data.archive" >&2
    exit 2
  fi
}

# choose_flags PROGRAM FLAGS: sets $flags to those that the tree's program knows, with absolute paths,
# because Bazel starts programs in another folder.
choose_flags() {
  local source=$tree/$examples/$1.py flag name value
  flags=()
  for flag in "${@:2}"; do
    name=${flag%%=*} value=${flag#*=}
    case $name in
      --data_dir | --train_dir | --summaries_dir | --start_checkpoint | --output_file)
        value=$(absolute "$value")
        ;;
    esac
    if is_known "$name" "$value" "$source"; then
      flags+=("$name=$value")
    else
      echo "TensorFlow's $1 does not know $flag: left out"
    fi
  done
}

is_known() {
  case $1=$2 in
    # Upstream takes any text as true, and needs tf.contrib, which 2.0 removed.
    --quantize=1) grep -q '^#define TF_MAJOR_VERSION 1$' "$tree/tensorflow/core/public/version.h" ;;
    --quantize=* | --optimizer=adam) false ;;
    *) grep -q -- "['\"]$1['\"]" "$3" ;;
  esac
}

# Prints the prefix of a folder's newest checkpoint, or nothing if it has none.
newest_checkpoint() {
  local newest
  newest=$(printf '%s\n' "$1"/*.ckpt-*.index | sort --version-sort | tail -n 1)
  [[ ! -e $newest ]] || printf '%s' "${newest%.index}"
}

# value_of NAME FLAGS: the value of the last flag of that name.
value_of() {
  local flag value=
  for flag in "${@:2}"; do
    [[ $flag != "$1="* ]] || value=${flag#*=}
  done
  printf '%s' "$value"
}

absolute() {
  case $1 in
    /* | '') printf '%s' "$1" ;;
    *) printf '%s' "$PWD/$1" ;;
  esac
}

# TensorFlow's trainer logs a checkpoint before it writes it. So this holds its line back until the
# next line, and drops it if none follows.
delay_checkpoint_lines() {
  local line held=
  while IFS= read -r line || [[ -n $line ]]; do
    [[ -z $held ]] || printf '%s\n' "$held"
    held=
    if [[ $line == *'Saving to "'* ]]; then
      held=$line
    else
      printf '%s\n' "$line"
    fi
  done
}

[[ ${BASH_SOURCE[0]} == "$0" ]] || return 0 # sourced for its functions

case ${1:-} in
  setup) setup ;;
  train | freeze) "$@" ;;
  *)
    echo "usage: bash $0 setup|train|freeze [FLAGS]" >&2
    exit 2
    ;;
esac
