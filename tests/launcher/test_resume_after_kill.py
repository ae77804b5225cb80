"""A launcher that is killed at any phase of a job, on this computer."""

import pytest
from workspace import digests

from launcher.jobs.states import Phase

PHASES = [phase for phase in Phase if phase != Phase.CREATED]


@pytest.mark.parametrize("phase", PHASES)
def test_resume_after_sigkill_at_any_phase(workspace, trained, finished, phase):
    """SIGKILL as a phase begins, then `resume`: the same artefacts, no machine, one training."""
    launcher = workspace.start("resume", "words-1")
    workspace.wait_for("words-1", phase)
    launcher.kill()
    launcher.communicate()
    if workspace.job("words-1").outcome != "done":  # the last phase may outrun its killer
        code, _, err = workspace.run("resume", "words-1")
        assert code == 0, err
    assert digests(trained) == digests(finished[0])
    assert "~~~ALL TESTS PASSED~~~" in (trained / "report.md").read_text()
    assert (trained / "training.log").read_text().count("== train ==") == 1
    assert (workspace.machines(), workspace.processes()) == ([], [])
