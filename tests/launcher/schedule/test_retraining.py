"""A scheduler as a user starts it, with real retrainings."""

import json
import os
import signal

import pytest
from schedule_workspace import SCHEDULE_RUN

from launcher.schedule import process
from launcher.schedule.store import Store


@pytest.fixture
def kill_all(workspace):
    """A function that kills a scheduler during the real training of schedule words, and the
    retraining too. It returns the time that was due."""

    def kill():
        workspace.add_schedule("words")
        moment = workspace.make_due("words")
        scheduler = workspace.start_command(*SCHEDULE_RUN)
        started = workspace.wait_for_event("started", "words")
        workspace.wait_for("words-r1", "train")
        workspace.stop(scheduler, signal.SIGKILL)
        os.kill(started["pid"], signal.SIGKILL)
        workspace.wait(lambda: not process.is_running("words"), "its end")
        assert workspace.machines()
        return moment

    return kill


def test_next_scheduler_finishes_a_killed_training_and_deletes_its_machine(workspace, kill_all):
    """After scheduler and retraining are killed, the next scheduler finishes that job, promotes its
    model, and leaves no machine; the next run finds nothing changed."""
    moment = kill_all()
    scheduler = workspace.start_command(*SCHEDULE_RUN)
    assert workspace.wait_for_event("promoted", "words")["scheduled"] == moment
    assert workspace.machines() == []
    assert workspace.job("words-r1").attempt == 1
    assert (workspace.folder / "models" / "words" / "current" / "manifest.json").exists()
    workspace.make_due("words")
    workspace.wait_for_event("unchanged", "words")
    assert workspace.stop(scheduler) == 0
    assert [path.name for path in (workspace.folder / "runs").iterdir()] == ["words-r1"]


def test_edited_config_fails_a_killed_run_and_deletes_its_machine(workspace, kill_all):
    """If the config of a killed run was edited, the run fails, history and hook say so, the machine
    is deleted, and neither config is used."""
    kill_all()
    config, hook = workspace.folder / "words.toml", workspace.folder / "notified"
    config.write_text(config.read_text() + f"[retrain]\nhook = 'tee {hook}'\n")
    scheduler = workspace.start_command(*SCHEDULE_RUN)
    message = workspace.wait_for_event("failed", "words")["message"]
    assert message == "words.toml was edited since it was scheduled"
    assert workspace.machines() == []
    (run,) = json.loads(workspace.run("history", "words", "--json")[1])["runs"]
    assert (run["verdict"], run["exit_code"], run["error"]) == ("failed", 2, message)
    assert "launcher schedule add CONFIG --cron EXPRESSION --replace" in run["hint"]
    assert json.loads(hook.read_text())["error"] == message
    assert workspace.stop(scheduler) == 0
    assert not list((workspace.folder / "models" / "words").glob("v*"))


def test_deleted_config_fails_the_next_run(workspace):
    """A config that was deleted after `add` fails its next run, by name."""
    workspace.add_schedule("words").unlink()
    workspace.make_due("words")
    scheduler = workspace.start_command(*SCHEDULE_RUN)
    message = workspace.wait_for_event("failed", "words")["message"]
    assert message == "words.toml: no such config file"
    assert workspace.stop(scheduler) == 0
    (run,) = Store().find("words").runs
    assert run.verdict == "failed"
