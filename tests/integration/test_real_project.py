"""The story of a job in a real Google Cloud project, at your cost: about 0.10 USD and ten minutes.

MICRO_SPEECH_PROJECT names the project; Application Default Credentials say who you are:

    MICRO_SPEECH_PROJECT=my-project pytest tests/integration
"""

import json
import os

import pytest
from desk import QUICKSTART, SMALL, Desk

PROJECT = os.environ.get("MICRO_SPEECH_PROJECT", "")
pytestmark = pytest.mark.skipif(not PROJECT, reason="MICRO_SPEECH_PROJECT names no project")
RENTED = ("--backend=gce", f"--set=gce.project={PROJECT}", "--set=machine.max_run_minutes=30")


@pytest.fixture
def desk(tmp_path):
    """A desk; whatever a failed test left in the project is given back."""
    made = Desk(tmp_path)
    yield made
    made.run("reap", "--project", PROJECT)


@pytest.mark.parametrize("recipe", ["bazel", "python"])
def test_a_training_in_a_real_project(desk, recipe):
    """A machine is rented, trains, is given back, and its absence is proven."""
    code, out, err = desk.run(
        "train", str(QUICKSTART), *SMALL, *RENTED, f"--set=machine.recipe={recipe}"
    )
    assert code == 0, err
    report = json.loads((desk.folder / "runs" / "quickstart-1" / "report.json").read_text())
    assert "not found (404)" in report["machine"]["proof"]
    assert "~~~ALL TESTS PASSED~~~" in out
    machines = json.loads(desk.run("status", "--project", PROJECT, "--json")[1])["machines"]
    assert not [machine for machine in machines if machine["ours"]]


def test_a_detached_training_is_fetched(desk):
    """What was left at work is found again, and its results come here."""
    assert desk.run("train", str(QUICKSTART), *SMALL, *RENTED, "--detach")[0] == 0
    code, _, err = desk.run("resume", "quickstart-1")
    assert code == 0, err
