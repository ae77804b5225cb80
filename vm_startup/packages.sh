# shellcheck shell=bash
# What every recipe needs: verified downloads, and a Python that can train. Sourced by the recipes,
# which run in the job's work folder.
#
#   PYTHON          the interpreter; default: the machine's first that can train, else a pinned one
#                   that is downloaded
#   PYTHON_ARCHIVE  where the pinned one comes from: a file or a URL
#   PIP_…           as pip reads them: PIP_INDEX_URL names a mirror

scripts=$(dirname "${BASH_SOURCE[0]}")
lock=$scripts/requirements.txt
venv=$PWD/venv
standalone=$PWD/python

python_url=https://github.com/astral-sh/python-build-standalone/releases/download/20260408
python_url+=/cpython-3.12.13%2B20260408-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz
python_sha256=ddd48f521f79395d9b8b094d34a86d7ec86772ab66c96b0de65a3b561ea7cf10

pauses=(0 1 2 4 8) # seconds before each try of a download

fail() {
  echo "error: $*" >&2
  exit 1
}

# fetch SHA256 SOURCE FILE: copies SOURCE, a URL or a path, to FILE if it has that digest. An
# interrupted download continues where it stopped.
fetch() {
  local sum=$1 source=$2 file=$3 pause code
  has_sum "$sum" "$file" && return
  mkdir -p "$(dirname "$file")"
  for pause in "${pauses[@]}"; do
    sleep "$pause"
    code=0
    if [[ $source == *://* ]]; then
      curl --fail --location --silent --show-error --continue-at - --output "$file.part" \
        --connect-timeout 20 --speed-limit 1000 --speed-time 30 "$source" || code=$?
    else
      cp -- "$source" "$file.part" || fail "$source cannot be read"
    fi
    if has_sum "$sum" "$file.part"; then
      mv "$file.part" "$file"
      return
    fi
    # Complete but wrong, refused, or not resumable: the part is of no use.
    case $code in 0 | 22 | 33 | 36) rm -f "$file.part" ;; esac
  done
  fail "$source: no download has SHA-256 $sum"
}

has_sum() {
  [[ -f $2 ]] && sha256sum --status --check - <<<"$1 *$2"
}

# can_train PYTHON: whether every pinned wheel supports it, and it makes virtual environments.
can_train() {
  "$1" "$scripts/check_python.py" 2>/dev/null
}

# has_requirements PYTHON: whether it has the packages that requirements.in pins.
has_requirements() {
  "$1" "$scripts/check_python.py" "${lock%.txt}.in" 2>/dev/null
}

# Whether ./venv is complete, from the current lock.
is_installed() {
  cmp -s "$lock" "$venv/requirements.txt"
}

# Sets $python to the interpreter that has every package, if there is one.
find_python() {
  python=$(command -v "${PYTHON:-python3}") || python=
  if is_installed; then
    python=$venv/bin/python
  else
    has_requirements "$python"
  fi
}

install_packages() {
  if find_python; then
    echo "Python has every package: $("$python" -c 'import sys; print(sys.executable)')"
  else
    choose_python
    make_venv "$python" "$lock" "$venv"
  fi
}

# make_venv PYTHON LOCK FOLDER: a virtual environment with the packages of a lock; it holds a copy of
# the lock once it is complete.
make_venv() {
  local pause
  "$1" -m venv --clear "$3"
  for pause in "${pauses[@]}"; do
    sleep "$pause"
    if "$3/bin/python" -m pip install --disable-pip-version-check --no-input \
      --only-binary=:all: --require-hashes --requirement "$2"; then
      cp "$2" "$3/requirements.txt"
      return
    fi
  done
  fail "the packages of $2 could not be installed; see the lines above"
}

# Sets $python to an interpreter that can make ./venv.
choose_python() {
  if [[ -n ${PYTHON:-} ]]; then
    python=$PYTHON
    can_train "$python" ||
      fail "$python is not Python 3.11, 3.12 or 3.13 with venv: name another in PYTHON"
    return
  fi
  for python in python3 python3.12 python3.13 python3.11 "$standalone/bin/python3"; do
    can_train "$python" && return
  done
  echo "No Python here can train: downloading one"
  fetch $python_sha256 "${PYTHON_ARCHIVE:-$python_url}" "$PWD/downloads/python.tar.gz"
  rm -rf "$standalone" "$standalone.new"
  mkdir "$standalone.new"
  tar -xzf "$PWD/downloads/python.tar.gz" --strip-components=1 -C "$standalone.new"
  mv -T "$standalone.new" "$standalone"
}

# Prepares to run a trainer: $python and its environment variables.
prepare_run() {
  find_python || fail "Python packages are missing: run setup first"
  export PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
}
