import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "vm_startup" / "python.sh"


def run(folder, *arguments, python=sys.executable):
    environment = os.environ | {"PYTHON": str(python)}
    command = ["bash", str(RECIPE), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def fake(tmp_path):
    """A Python with every package that only prints how it was called."""
    path = tmp_path / "fake python"
    path.write_text(
        "#!/bin/bash\n"
        "[[ $1 == *check_python.py ]] && exit 0\n"
        'printf "%s|" "$PYTHONPATH" "$PYTHONUNBUFFERED" "$@"\n'
        "exec sleep 60\n"
    )
    path.chmod(0o755)
    return path


def test_setup_keeps_a_complete_python(tmp_path):
    """If everything is installed already, setup makes no venv."""
    for _ in range(2):
        done = run(tmp_path, "setup")
        assert done.returncode == 0, done.stderr
        assert sys.executable in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["train", "freeze"])
def test_flags_reach_the_module(tmp_path, fake, verb):
    """Each flag arrives unchanged, and the module is found beside the recipe."""
    process = subprocess.Popen(
        ["bash", str(RECIPE), verb, "--wanted_words=yes,no", "--data_dir=a b"],
        cwd=tmp_path,
        env=os.environ | {"PYTHON": str(fake), "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    folder = RECIPE.parents[1]
    expected = (
        f"{folder}|1|-m|vm_startup.speech_commands.{verb}|--wanted_words=yes,no|--data_dir=a b|"
    )
    assert process.stdout.read(len(expected)) == expected
    process.terminate()  # the shell has made way for Python, so that a signal reaches it
    assert process.wait(timeout=10) == -15
    process.stdout.close()


def test_unknown_verb_is_refused(tmp_path):
    """A recipe has three verbs."""
    done = run(tmp_path, "build")
    assert done.returncode == 2
    assert "setup|train|freeze" in done.stderr
