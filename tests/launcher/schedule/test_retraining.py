"""The whole of it: a scheduler as a user starts it, with real retrainings."""

import json
import os
import signal

import pytest
from office import SCHEDULE_RUN

from launcher.schedule import child
from launcher.schedule.store import Schedules


@pytest.fixture
def killed(office):
    """Kills the scheduler amid the real training of the schedule words, and the retraining too: a
    function, to the time that was due."""

    def kill():
        office.schedule("words")
        moment = office.let_be_due("words")
        scheduler = office.start_command(*SCHEDULE_RUN)
        begun = office.until_told("begun", "words")
        office.wait_for("words-r1", "train")
        office.end(scheduler, signal.SIGKILL)
        os.kill(begun["pid"], signal.SIGKILL)
        office.wait(lambda: not child.is_going("words"), "its end")
        assert office.machines()
        return moment

    return kill


def test_a_retraining_outlives_its_scheduler_and_leaves_no_machine(office, killed):
    """Scheduler and retraining are killed amid a real training; the next scheduler finishes that
    job, promotes its model, and leaves no machine; the time after, nothing has changed."""
    moment = killed()
    scheduler = office.start_command(*SCHEDULE_RUN)
    assert office.until_told("promoted", "words")["scheduled"] == moment
    assert office.machines() == []
    assert office.job("words-r1").attempt == 1
    assert (office.folder / "models" / "words" / "current" / "manifest.json").exists()
    office.let_be_due("words")
    office.until_told("unchanged", "words")
    assert office.end(scheduler) == 0
    assert [path.name for path in (office.folder / "runs").iterdir()] == ["words-r1"]


def test_a_config_that_was_edited_is_reported_and_nothing_is_left(office, killed):
    """A config that was edited amid a run that was killed: the run fails, the model's history and
    its hook are told so, the machine is given back, and neither config is used."""
    killed()
    config, hook = office.folder / "words.toml", office.folder / "told"
    config.write_text(config.read_text() + f"[retrain]\nhook = 'tee {hook}'\n")
    scheduler = office.start_command(*SCHEDULE_RUN)
    told = office.until_told("failed", "words")["told"]
    assert told == "words.toml was edited since it was scheduled"
    assert office.machines() == []
    (run,) = json.loads(office.run("history", "words", "--json")[1])["runs"]
    assert (run["verdict"], run["exit_code"], run["error"]) == ("failed", 2, told)
    assert "schedule add --replace" in run["hint"]
    assert json.loads(hook.read_text())["error"] == told
    assert office.end(scheduler) == 0
    assert not list((office.folder / "models" / "words").glob("v*"))


def test_a_config_that_was_deleted_is_reported(office):
    """A config that was deleted since `add` fails its next run, by name."""
    office.schedule("words").unlink()
    office.let_be_due("words")
    scheduler = office.start_command(*SCHEDULE_RUN)
    assert office.until_told("failed", "words")["told"] == "words.toml: no such config file"
    assert office.end(scheduler) == 0
    with Schedules() as schedules:
        assert schedules.record.last("words").verdict == "failed"
