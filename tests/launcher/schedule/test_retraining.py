"""The whole of it: a scheduler as a user starts it, with real retrainings."""

import os
import signal
import sys

from launcher.schedule import child


def test_a_retraining_outlives_its_scheduler_and_leaves_no_machine(office):
    """Scheduler and retraining are killed amid a real training; the next scheduler finishes that
    job, promotes its model, and leaves no machine; the time after, nothing has changed."""
    schedule_run = [sys.executable, "-P", "-m", "launcher", "schedule", "run", "--json"]
    office.schedule("words")
    moment = office.let_be_due("words")
    scheduler = office.start_command(*schedule_run)
    begun = office.until_told("begun", "words")
    office.wait_for("words-r1", "train")
    office.end(scheduler, signal.SIGKILL)
    os.kill(begun["pid"], signal.SIGKILL)
    office.wait(lambda: not child.is_going("words"), "its end")
    assert office.machines()
    scheduler = office.start_command(*schedule_run)
    assert office.until_told("promoted", "words")["scheduled"] == moment
    assert office.machines() == []
    assert office.job("words-r1").attempt == 1
    assert (office.folder / "models" / "words" / "current" / "manifest.json").exists()
    office.let_be_due("words")
    office.until_told("unchanged", "words")
    assert office.end(scheduler) == 0
    assert [path.name for path in (office.folder / "runs").iterdir()] == ["words-r1"]
