"""The shell programs that run on machines."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from launcher.machines import scripts

ROOT = Path(__file__).parents[2]
FOLDER = Path(scripts.__file__).parent
SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.defpath}")
NAMES = sorted(path.stem for path in FOLDER.glob("*.sh"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(not SHELLCHECK, reason="shellcheck is not installed")
def test_program_passes_shellcheck(name):
    """shellcheck finds nothing in the program."""
    path = FOLDER / f"{name}.sh"
    done = subprocess.run([SHELLCHECK, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_installed_package_has_every_program():
    """Each program is in the package data, so that an installed launcher can send it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    globs = project["tool"]["setuptools"]["package-data"]["launcher"]
    packaged = {path.name for pattern in globs for path in (ROOT / "launcher").glob(pattern)}
    assert NAMES
    assert {f"{name}.sh" for name in NAMES} <= packaged & {p.name for p in FOLDER.iterdir()}


def test_parameters_reach_the_program_unchanged(tmp_path):
    """A file name with quotes, spaces, newlines and dollars is one parameter."""
    name = 'it\'s "a" $HOME `id`\n*;'
    (tmp_path / name).write_bytes(b"content")
    done = subprocess.run(
        ["sh", "-c", scripts.command("fetch", name, 7)], cwd=tmp_path, capture_output=True
    )
    assert (done.returncode, done.stdout) == (0, b"content")
