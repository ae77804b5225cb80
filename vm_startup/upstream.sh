#!/usr/bin/env bash
# Train the classic way: TensorFlow's own examples, built from source by the Bazel that their tree
# asks for. The three verbs are those of every recipe.
#
#   bash vm_startup/upstream.sh setup          the tree, its Bazel, its Python and our own
#   bash vm_startup/upstream.sh train FLAGS    bazel run tensorflow/examples/speech_commands:train
#   bash vm_startup/upstream.sh freeze FLAGS   bazel run tensorflow/examples/speech_commands:freeze
#
# Flags that the tree's programs do not know are left out, and the log names them. Our own Python
# fetches the recordings before, and judges the frozen graph after. Runs in the job's work folder;
# needs a C++ compiler that the tree can do with. What it reads from the environment stands in
# packages.sh and with_bazel.sh, and:
#
#   TENSORFLOW_TREE                      a tree that is there already; its configure writes to it
#   TENSORFLOW_ARCHIVE TENSORFLOW_SHA256 another tree's archive, a file or a URL; default: 1.15.5,
#                                        of the last line whose --quantize works
#   UPSTREAM_PYTHON                      an interpreter with what the tree imports; default: one
#                                        made from python3.7 and upstream_requirements.txt
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/packages.sh"
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

# The Bazel that the tree is tested with; older trees name the newest that they take.
asked_version() {
  if [[ -e $tree/.bazelversion ]]; then
    head -n 1 "$tree/.bazelversion"
  else
    sed -nE "s/^_TF_MAX_BAZEL_VERSION = ['\"]([0-9.]+)['\"].*/\1/p" "$tree/configure.py"
  fi
}

# Answers the questions of the tree's configure: a build for this processor and nothing else.
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
  # For the judge, which hears of them only after the freeze.
  printf '%s\0' "$@" --data_url= --synthetic_clips=0 "--data_dir=$data" >train/flags
  newest=$(newest_checkpoint train)
  [[ -z $newest ]] || set -- "$@" "--start_checkpoint=$newest"
  choose_flags train "$@" --data_url= "--data_dir=$data"
  (run_upstream train "${flags[@]}") 2>&1 | tell_of_finished_checkpoints
  cp train/*_labels.txt train/labels.txt
}

freeze() {
  local flags judged start
  start=$(value_of --start_checkpoint "$@")
  if [[ -d $start ]]; then
    start=$(newest_checkpoint "$start")
    [[ -n $start ]] || fail "there is no checkpoint in $(value_of --start_checkpoint "$@")"
  fi
  choose_flags freeze "$@" "--start_checkpoint=$start"
  (run_upstream freeze "${flags[@]}")
  mapfile -d '' judged <train/flags
  run_ours -m vm_startup.speech_commands.evaluate "${judged[@]}" "--graph=$(value_of --output_file "$@")"
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

# Prints the folder with the recordings that the flags name, fetched and verified.
recordings() {
  local folder url
  folder=$(value_of --data_dir "$@")
  url=$(value_of --data_url "$@")
  if [[ -n $folder && -z $url ]]; then
    absolute "$folder"
  elif [[ -n $url && -z $folder ]]; then
    run_ours - "$url" "$(value_of --data_sha256 "$@")" "$PWD/cache" <<'PY'
import sys

from vm_startup.speech_commands.data import archive

print(archive.fetch(*sys.argv[1:]))
PY
  else
    echo "error: TensorFlow's own trainer learns from one folder of recordings or one archive," \
      "and from no synthetic speech: name data.folder or data.archive" >&2
    exit 2
  fi
}

# choose_flags PROGRAM FLAGS: sets $flags to those that the tree's program knows, with paths from
# the root, since Bazel starts programs elsewhere.
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
      echo "TensorFlow's $1 knows no $flag: left out"
    fi
  done
}

is_known() {
  case $1=$2 in
    # Any text is a yes to it, and it needs tf.contrib, which 2.0 dropped.
    --quantize=1) grep -q '^#define TF_MAJOR_VERSION 1$' "$tree/tensorflow/core/public/version.h" ;;
    --quantize=* | --optimizer=adam) false ;;
    *) grep -q -- "['\"]$1['\"]" "$3" ;;
  esac
}

# Prints the prefix of a folder's newest checkpoint, or nothing where it has none.
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

# TensorFlow's trainer tells of a checkpoint before it writes it: its line waits for the next one,
# and is not told where none came.
tell_of_finished_checkpoints() {
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

[[ ${BASH_SOURCE[0]} == "$0" ]] || return 0 # whoever reads this in wants the functions

case ${1:-} in
  setup) setup ;;
  train | freeze) "$@" ;;
  *)
    echo "usage: bash $0 setup|train|freeze [FLAGS]" >&2
    exit 2
    ;;
esac
