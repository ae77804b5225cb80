"""Exit code 0 if this Python can train: it is one of the pinned versions, with venv.

With the path of a requirements.in: 0 if this Python has the pinned packages. That reads their
metadata, because importing TensorFlow takes five seconds. Runs on Python 3.4, too.
"""

import sys

if len(sys.argv) == 1:
    import ensurepip  # noqa: F401  # some systems lack it, and then venv fails
    import venv  # noqa: F401

    sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

from importlib.metadata import version  # noqa: E402

for line in open(sys.argv[1]):  # noqa: SIM115, PTH123
    name, _, pin = line.split("#")[0].strip().partition("==")
    if name and version(name) != pin:
        sys.exit(1)
