#!/usr/bin/env bash
# Train without Bazel: Python and four wheels. The three verbs are those of every recipe.
#
#   bash vm_startup/python.sh setup          install what requirements.txt pins, unless it is there
#   bash vm_startup/python.sh train FLAGS    speech_commands/train.py
#   bash vm_startup/python.sh freeze FLAGS   speech_commands/freeze.py
#
# Needs no root, no compiler and no data. $PYTHON names the interpreter (default: python3); where it
# lacks a package, setup makes ./venv of it in the current folder, and train and freeze use that.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$PWD/venv
python=${PYTHON:-python3}

# Reads the installed packages' metadata: importing TensorFlow to ask would take five seconds.
has_requirements() {
  "$1" - "$here/requirements.txt" <<'PY' 2>/dev/null
import sys
from importlib.metadata import version

for line in open(sys.argv[1]):
    name, _, pin = line.split("#")[0].strip().partition("==")
    if name and version(name) != pin:
        sys.exit(1)
PY
}

setup() {
  if has_requirements "$python"; then
    echo "Python has everything: $("$python" -c 'import sys; print(sys.executable)')"
  elif has_requirements "$venv/bin/python"; then
    echo "Python has everything: $venv/bin/python"
  else
    "$python" -m venv "$venv" || {
      echo "error: $python makes no virtual environment: name one that does in PYTHON, or let" \
        "an administrator install python3-venv" >&2
      exit 1
    }
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input \
      --requirement "$here/requirements.txt"
  fi
}

run() {
  if ! has_requirements "$python" && [[ -x $venv/bin/python ]]; then
    python=$venv/bin/python
  fi
  export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
  export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
  exec "$python" -m "$@"
}

case ${1:-} in
  setup) setup ;;
  train | freeze) run "speech_commands.$1" "${@:2}" ;;
  *)
    echo "usage: bash $0 setup|train|freeze [FLAGS]" >&2
    exit 2
    ;;
esac
