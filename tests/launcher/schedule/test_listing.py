"""What `launcher schedule` prints."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest
from schedule_workspace import CONFIG

from launcher.cli import cli
from launcher.errors import UsageError
from launcher.retrain.events import RunBegun, RunEnded, Verdict
from launcher.retrain.fingerprint import Fingerprint
from launcher.retrain.history import History
from launcher.schedule import listing
from launcher.schedule.schedule import ScheduledRun
from launcher.schedule.store import Store


def test_list_prints_next_times_and_policies(workspace):
    """`list` prints the next times in the schedule's zone, and each policy."""
    workspace.add_schedule("words", "0 3 * * 1", "Europe/Berlin")
    workspace.add_schedule("others")
    Store().pause("others")
    code, out, _ = workspace.run("schedule", "list")
    assert code == 0
    assert "words  '0 3 * * 1' Europe/Berlin: At 03:00 on Monday" in out
    assert f"config  words.toml in {workspace.folder}" in out
    assert " 03:00 CE" in out  # CET or CEST
    assert "next    paused" in out
    assert "due while an earlier run of its schedule is running is skipped" in out
    assert "One run replaces all that were missed while no scheduler was running" in out
    assert "a time that does not exist becomes the moment of the change" in out
    assert out.splitlines()[-1].startswith("No scheduler is running: start one with launcher")


def test_list_json_has_iso_times(workspace):
    """`list --json` has plain values; times have the offset of the schedule's zone."""
    workspace.add_schedule("words", "0 3 * * 1", "Europe/Berlin")
    code, out, _ = workspace.run("schedule", "list", "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["scheduler"] is None
    (schedule,) = shown["schedules"]
    assert (schedule["cron"], schedule["timezone"]) == ("0 3 * * 1", "Europe/Berlin")
    assert (schedule["paused"], schedule["now"], schedule["last"]) == (False, "", None)
    times = [datetime.fromisoformat(time) for time in schedule["next"]]
    assert [f"{time:%a %H:%M}" for time in times] == ["Mon 03:00"] * 3
    zone = ZoneInfo("Europe/Berlin")
    assert all(time.utcoffset() == time.astimezone(zone).utcoffset() for time in times)


def test_last_run_is_the_newest_of_scheduler_and_history(workspace, monkeypatch):
    """A retraining that something else started is the last run if it ended later."""
    monkeypatch.chdir(workspace.folder)
    workspace.add_schedule("words")
    workspace.make_due("words")
    scheduler = workspace.start_scheduler()
    workspace.wait_for_event("kept", "words")
    (shown,) = listing.everything()["schedules"]
    assert listing.everything()["scheduler"] == scheduler.pid
    assert shown["last"]["verdict"] == "kept"
    workspace.stop(scheduler)
    Store().record(ScheduledRun("words", datetime(2026, 11, 23, tzinfo=UTC)))
    assert listing.everything()["schedules"][0]["now"] == "waiting"
    with History.lock("words") as history:
        history.add(RunBegun(1, Fingerprint(), (), "2026-11-23T03:00:00+00:00"))
        history.add(RunEnded(1, Verdict.PROMOTED, ("It is better.",)))
    last = listing.everything()["schedules"][0]["last"]
    assert last == {
        "scheduled": "2026-11-23T03:00:00+00:00",
        "verdict": "promoted",
        "message": "It is better.",
    }


def test_list_starts_with_the_stored_next_time(workspace):
    """The stored time comes first, also one that was found while the clock was ahead; a time in the
    past is not listed."""
    workspace.add_schedule("words", "0 3 * * 1")
    workspace.make_due("words", ago=-(4 * 365 * 86400))
    (shown,) = listing.everything()["schedules"]
    stored = Store().find("words").next
    times = [datetime.fromisoformat(time) for time in shown["next"]]
    assert times[0] == stored
    assert stored < times[1] < times[2]
    workspace.make_due("words", ago=30 * 86400)
    (shown,) = listing.everything()["schedules"]
    assert datetime.now(UTC) < datetime.fromisoformat(shown["next"][0])


def test_last_run_is_not_one_that_ended_in_the_future(workspace):
    """A run that ended while the clock was years ahead does not hide later runs."""
    workspace.add_schedule("words")
    for year, verdict in ((2090, "kept"), (2020, "failed")):
        moment = datetime(year, 11, 16, tzinfo=UTC)
        Store().record(ScheduledRun("words", moment, 1, moment.timestamp(), verdict))
        assert listing.everything()["schedules"][0]["last"]["verdict"] == verdict


def make_unreadable(file):
    file.mkdir()


def damage(file):
    file.write_text("no record\n")


@pytest.mark.parametrize(
    ("spoil", "sentence"), [(make_unreadable, "Is a directory"), (damage, "line 1: damaged")]
)
def test_list_names_a_history_that_cannot_be_read(workspace, spoil, sentence):
    """`list` prints every schedule; that of the model has the error, with and without a run of its
    own."""
    for name in ("others", "words"):
        workspace.add_schedule(name)
    file = workspace.folder / "models" / "words" / "history.jsonl"
    file.parent.mkdir(parents=True)
    spoil(file)
    code, out, _ = workspace.run("schedule", "list")
    assert code == 0
    assert "others  '0 0 1 1 *'" in out
    assert re.search(rf"\n  last    {file}[:,] .*{sentence}", out)
    moment = datetime(2026, 11, 16, tzinfo=UTC)
    Store().record(ScheduledRun("words", moment, 1, 1.0, "kept", "No better."))
    (_, shown) = listing.everything()["schedules"]
    assert shown["last"]["verdict"] == "kept"
    assert sentence in shown["last"]["message"]


@pytest.fixture
def call(workspace, capsys, monkeypatch):
    """A function that runs `launcher schedule …` in this process and returns what it printed."""
    monkeypatch.chdir(workspace.folder)

    def run(*arguments):
        cli(["schedule", *arguments], standalone_mode=False)
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.toml", "--cron", "0 3 * * 1"], "missing.toml: no such config file"),
        (["words.toml", "--cron", "0 0 31 2 *"], "matches no time"),
        (["words.toml", "--cron", "0 3 * * 1", "--timezone", "Berlin"], "--timezone Berlin: no"),
        (["words.toml", "--cron", "0 3 * * 1", "--name", "../x"], "--name ../x: use up to 40"),
        (["words.toml"], "Missing parameter: cron"),
    ],
)
def test_add_refuses_wrong_arguments(workspace, call, arguments, sentence):
    """`add` refuses at once, with exit code 2, what would fail at every run."""
    workspace.add_schedule("words")
    call("remove", "words")
    with pytest.raises((UsageError, click.UsageError), match=sentence) as refused:
        call("add", *arguments)
    assert refused.value.exit_code == 2
    assert "no schedules" in call("list")


@pytest.mark.parametrize(
    ("config", "folder", "shown"),
    [(b"caf\xe9.toml", b"", r"caf\xe9.toml"), (b"../words.toml", b"a\nb", r"a\nb")],
)
def test_add_refuses_a_path_that_is_not_one_line_of_utf8(
    workspace, call, monkeypatch, config, folder, shown
):
    """A path that is not UTF-8, or has more than one line, is refused."""
    config, folder = os.fsdecode(config), workspace.folder / os.fsdecode(folder)
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    Path(config).write_text(CONFIG)
    with pytest.raises(UsageError, match="the path must be one line of UTF-8") as refused:
        call("add", config, "--cron", "0 3 * * 1", "--timezone", "UTC")
    assert shown in str(refused.value)
    assert "no schedules" in call("list")


def test_add_in_a_deleted_folder_names_it(workspace):
    """If the current folder was deleted, `add` names it, though the config exists."""
    workspace.add_schedule("words")
    gone = workspace.folder / "gone"
    add = f"schedule add {workspace.folder}/words.toml --cron '0 3 * * 1' --timezone UTC --replace"
    script = f"mkdir {gone}; cd {gone}; rmdir {gone}; exec {sys.executable} -P -m launcher {add}"
    done = subprocess.run(
        ["sh", "-c", script], env=workspace.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: the current folder {gone} does not exist any more\n")


def test_add_refuses_a_second_schedule_of_that_name(workspace, call):
    """The second `add` names the existing schedule and the options; --replace replaces it."""
    workspace.add_schedule("words")
    again = ["add", "words.toml", "--cron", "0 4 * * *", "--timezone", "Europe/Berlin"]
    with pytest.raises(UsageError, match="words is scheduled already: words.toml") as refused:
        call(*again)
    assert "--replace" in refused.value.hint
    assert "'0 4 * * *' Europe/Berlin: At 04:00 every day" in call(*again, "--replace")
    assert call("list").count("words.toml") == 1


def test_install_refuses_no_schedules_and_paused_ones(workspace, call):
    """`install` refuses if there is no schedule, and names one that is paused."""
    with pytest.raises(UsageError, match="no schedules"):
        call("install", "--systemd", "--print")
    workspace.add_schedule("words")
    assert "OnCalendar=*-01-01 00:00:00 UTC" in call("install", "--systemd", "--print")
    call("pause", "words")
    with pytest.raises(UsageError, match="words is paused"):
        call("install", "--systemd", "--print")


def test_scheduler_loads_no_training_packages(workspace):
    """`schedule list` and the scheduler load neither TensorFlow nor numpy, nor Google's client."""
    workspace.add_schedule("words")
    code = (
        "import sys; from launcher.cli import cli; import launcher.schedule.scheduler; "
        "cli(['schedule', 'list'], standalone_mode=False); "
        "print({'tensorflow', 'numpy', 'scipy', 'rich', 'google', 'fabric'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "set()"


def test_add_pause_resume_and_remove_print_what_they_did(workspace, call):
    """`add`, `pause`, `resume` and `remove` each print what they did."""
    workspace.add_schedule("words")
    added = call("add", "words.toml", "--cron", "0 3 * * 1", "--name", "weekly")
    assert added.startswith("weekly  '0 3 * * 1' ")  # followed by this computer's time zone
    assert "schedule resume weekly" in call("pause", "weekly")
    assert call("resume", "weekly").startswith("resumed weekly, next Mon ")
    assert call("remove", "weekly") == "removed weekly\n"
    with pytest.raises(UsageError):
        call("remove", "weekly")
