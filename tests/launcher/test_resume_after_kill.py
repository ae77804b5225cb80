"""A launcher that is killed at every phase of a job, on this computer."""

import signal

import pytest
from workspace import digests

from launcher.jobs import ledger, records
from launcher.jobs.states import Outcome, Phase

pytestmark = pytest.mark.usefixtures("forked")
PHASES = [phase for phase in Phase if phase != Phase.CREATED]


def test_resume_after_sigkill_at_every_phase(workspace, trained, finished):
    """SIGKILL as a phase begins, then `resume` until the next phase begins, and so on: the same
    artefacts as without a kill, no machine, one training."""
    kills = 0
    while workspace.job("words-1").outcome != Outcome.DONE:
        kills += is_killed_at(workspace, trained, kills)
    assert kills > len(PHASES) / 2  # the last phases may outrun their killer
    assert digests(trained) == digests(finished[0])
    assert "~~~ALL TESTS PASSED~~~" in (trained / "report.md").read_text()
    assert (trained / "training.log").read_text().count("== train ==") == 1
    assert (workspace.machines(), workspace.processes()) == ([], [])


def is_killed_at(workspace, folder, rank):
    """Run the `resume` of that rank, and kill it as the phase of that rank, or a later one, begins:
    whether it did not end before."""
    launcher = workspace.start("resume", "words-1")

    def reached():
        events = records.read(folder / ledger.FILE)
        starts = [number for number, event in enumerate(events) if event["event"] == "resumed"]
        own = events[starts[rank] :] if rank < len(starts) else []
        return any(event.get("phase") in PHASES[rank:] for event in own)

    workspace.wait(lambda: launcher.returncode is not None or reached(), "a phase")
    launcher.kill()
    _, err = launcher.communicate()
    assert launcher.returncode in (0, -signal.SIGKILL), err
    return launcher.returncode != 0
