"""The shell scripts are free of shellcheck's findings."""

import shutil
import subprocess

import pytest
from tiny_training import VM_STARTUP


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck")
def test_shellcheck_finds_nothing():
    """Every script passes, with the files that it sources."""
    scripts = sorted(VM_STARTUP.glob("*.sh"))
    assert len(scripts) > 5
    done = subprocess.run(["shellcheck", "-x", *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
