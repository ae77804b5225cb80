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
    """A Python that has everything and only says how it was called."""
    path = tmp_path / "fake python"
    path.write_text(
        "#!/bin/bash\n"
        "[[ $1 == - ]] && exit 0\n"
        'printf "%s|" "$PYTHONPATH" "$PYTHONUNBUFFERED" "$@"\n'
        "exec sleep 60\n"
    )
    path.chmod(0o755)
    return path


def test_setup_leaves_a_ready_python_alone(tmp_path):
    """Where everything is installed already, setup makes no venv, however often it runs."""
    for _ in range(2):
        done = run(tmp_path, "setup")
        assert done.returncode == 0, done.stderr
        assert sys.executable in done.stdout
    assert not list(tmp_path.iterdir())


def test_setup_makes_a_venv_where_packages_are_missing(tmp_path, fake):
    """A Python without TensorFlow stays as it is: what is pinned goes into ./venv, once."""
    log = tmp_path / "log"
    fake.write_text(
        "#!/bin/bash\n"
        f'printf "%s " "$@" >>"{log}"; echo >>"{log}"\n'
        '[[ $1 == - ]] && { [[ -e "${0%/*}/ready" ]]; exit; }\n'
        '[[ $2 == venv ]] && mkdir -p "$3/bin" && cp "$0" "$3/bin/python"\n'
        '[[ $2 == pip ]] && touch "${0%/*}/ready"\n'
        "exit 0\n"
    )
    assert run(tmp_path, "setup", python=fake).returncode == 0
    asked = f"{RECIPE.parent}/requirements.txt"
    assert log.read_text().splitlines()[1:] == [
        f"-m venv {tmp_path}/venv ",
        f"-m pip install --disable-pip-version-check --no-input --requirement {asked} ",
    ]
    log.unlink()
    assert run(tmp_path, "setup", python=fake).stdout.endswith(f"{tmp_path}/venv/bin/python\n")
    assert "pip" not in log.read_text()


def test_requirements_are_pyprojects():
    """What a machine installs is what this computer has, to the version."""
    lines = (ROOT / "vm_startup" / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert len(pins) == 4
    assert all(f'"{pin}"' in pyproject for pin in pins)


@pytest.mark.parametrize("verb", ["train", "freeze"])
def test_flags_reach_the_module(tmp_path, fake, verb):
    """Each flag arrives as it was given, and the module is found beside the recipe."""
    process = subprocess.Popen(
        ["bash", str(RECIPE), verb, "--wanted_words=yes,no", "--data_dir=a b"],
        cwd=tmp_path,
        env=os.environ | {"PYTHON": str(fake), "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    expected = f"{RECIPE.parent}|1|-m|speech_commands.{verb}|--wanted_words=yes,no|--data_dir=a b|"
    assert process.stdout.read(len(expected)) == expected
    process.terminate()  # the shell has made way for Python, so that a signal reaches it
    assert process.wait(timeout=10) == -15
    process.stdout.close()


def test_other_verbs_are_refused(tmp_path):
    """A recipe knows three verbs."""
    done = run(tmp_path, "build")
    assert done.returncode == 2
    assert "setup|train|freeze" in done.stderr
