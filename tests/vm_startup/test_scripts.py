"""The shell scripts are free of shellcheck's findings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_training import VM_STARTUP

SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.defpath}")


@pytest.mark.skipif(not SHELLCHECK, reason="no shellcheck")
def test_shellcheck_finds_nothing():
    """Every script passes, with the files that it sources."""
    scripts = sorted(VM_STARTUP.glob("*.sh"))
    assert len(scripts) > 5
    done = subprocess.run([SHELLCHECK, "-x", *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
