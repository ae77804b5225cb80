"""Whole jobs in a real Google Cloud project, at your cost: about 0.10 USD and ten minutes.

MICRO_SPEECH_PROJECT names the project; Application Default Credentials say who you are:

    MICRO_SPEECH_PROJECT=my-project pytest tests/integration
"""

import json
import os

import pytest
from workspace import QUICKSTART, SMALL, Workspace

PROJECT = os.environ.get("MICRO_SPEECH_PROJECT", "")
pytestmark = pytest.mark.skipif(not PROJECT, reason="MICRO_SPEECH_PROJECT names no project")
ON_GCE = ("--backend=gce", f"--set=gce.project={PROJECT}", "--set=machine.max_run_minutes=30")


@pytest.fixture
def workspace(tmp_path):
    """A workspace; machines that a failed test left in the project are deleted."""
    created = Workspace(tmp_path)
    yield created
    created.run("reap", "--project", PROJECT)


@pytest.mark.parametrize("recipe", ["bazel", "python"])
def test_training_in_a_real_project(workspace, recipe):
    """A machine is created, trains and is deleted, with proof."""
    code, out, err = workspace.run(
        "train", str(QUICKSTART), *SMALL, *ON_GCE, f"--set=machine.recipe={recipe}"
    )
    assert code == 0, err
    report = json.loads((workspace.folder / "runs" / "quickstart-1" / "report.json").read_text())
    assert "not found (404)" in report["machine"]["proof"]
    assert "~~~ALL TESTS PASSED~~~" in out
    machines = json.loads(workspace.run("status", "--project", PROJECT, "--json")[1])["machines"]
    assert not [machine for machine in machines if machine["ours"]]


def test_resume_of_a_detached_training_pulls_its_results(workspace):
    """`resume` finds the machine of a detached job and pulls its results."""
    assert workspace.run("train", str(QUICKSTART), *SMALL, *ON_GCE, "--detach")[0] == 0
    code, _, err = workspace.run("resume", "quickstart-1")
    assert code == 0, err
