"""What `launcher schedule` shows."""

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
from office import CONFIG

from launcher.cli import cli
from launcher.errors import UsageError
from launcher.retrain.history import History
from launcher.schedule import view
from launcher.schedule.record import Run
from launcher.schedule.store import Schedules


def test_list_shows_what_is_next_and_what_is_done_about_the_rest(office):
    """`list` has the next times in the schedule's zone, and each policy in words."""
    office.schedule("words", "0 3 * * 1", "Europe/Berlin")
    office.schedule("others")
    with Schedules() as schedules:
        schedules.pause("others")
    code, out, _ = office.run("schedule", "list")
    assert code == 0
    assert "words  '0 3 * * 1' Europe/Berlin: At 03:00 on Monday" in out
    assert f"config  words.toml in {office.folder}" in out
    assert " 03:00 CE" in out  # CET or CEST
    assert "next    paused" in out
    assert "due while an earlier one of it goes on is skipped" in out
    assert "missed while no scheduler was at work are made up for by one" in out
    assert "that the clock jumps over" in out
    assert out.splitlines()[-1].startswith("No scheduler is at work: launcher schedule run")


def test_list_for_scripts_has_iso_times(office):
    """`list --json` has plain values; times carry the offset of the schedule's zone."""
    office.schedule("words", "0 3 * * 1", "Europe/Berlin")
    code, out, _ = office.run("schedule", "list", "--json")
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


def test_the_last_verdict_is_the_newest_of_scheduler_and_history(office, monkeypatch):
    """A retraining that somebody else began counts as the last run where it ended later."""
    monkeypatch.chdir(office.folder)
    office.schedule("words")
    office.let_be_due("words")
    scheduler = office.start_scheduler()
    office.until_told("kept", "words")
    (shown,) = view.everything()["schedules"]
    assert view.everything()["scheduler"] == scheduler.pid
    assert shown["last"]["verdict"] == "kept"
    office.end(scheduler)
    with Schedules() as schedules:
        schedules.record.due("words", datetime(2026, 11, 23, tzinfo=UTC))
    assert view.everything()["schedules"][0]["now"] == "waiting"
    with History.take("words") as history:
        history.append("begun", run=1, scheduled="2026-11-23T03:00:00+00:00")
        history.append("ended", run=1, verdict="promoted", reasons=["It is better."])
    last = view.everything()["schedules"][0]["last"]
    assert last == {
        "scheduled": "2026-11-23T03:00:00+00:00",
        "verdict": "promoted",
        "told": "It is better.",
    }


def test_list_begins_with_the_time_that_a_scheduler_goes_by(office):
    """The stored time comes first, also one that was found while the clock was ahead; one that
    has passed is no next time."""
    office.schedule("words", "0 3 * * 1")
    office.let_be_due("words", ago=-(4 * 365 * 86400))
    (shown,) = view.everything()["schedules"]
    with Schedules() as schedules:
        stored = schedules.find("words").due
    times = [datetime.fromisoformat(time) for time in shown["next"]]
    assert times[0] == stored
    assert stored < times[1] < times[2]
    office.let_be_due("words", ago=30 * 86400)
    (shown,) = view.everything()["schedules"]
    assert datetime.now(UTC) < datetime.fromisoformat(shown["next"][0])


def test_a_run_of_a_wrong_clock_is_last_only_until_the_next(office):
    """A run that ended while the clock was ahead does not hide, for years, what ended since."""
    office.schedule("words")
    for year, verdict in ((2090, "kept"), (2020, "failed")):
        moment = datetime(year, 11, 16, tzinfo=UTC)
        with Schedules() as schedules:
            schedules.record.due("words", moment)
            run = Run("words", moment, 1, moment.timestamp(), verdict, "")
            schedules.record.ended(run)
        assert view.everything()["schedules"][0]["last"]["verdict"] == verdict


def unreadable(file):
    file.mkdir()


def damaged(file):
    file.write_text("no record\n")


@pytest.mark.parametrize(
    ("spoil", "sentence"), [(unreadable, "Is a directory"), (damaged, "line 1: damaged")]
)
def test_a_history_that_cannot_be_read_is_told_where_it_belongs(office, spoil, sentence):
    """Every schedule is shown; that of the model has the sentence, with and without a run of its
    own."""
    for name in ("others", "words"):
        office.schedule(name)
    file = office.folder / "models" / "words" / "history.jsonl"
    file.parent.mkdir(parents=True)
    spoil(file)
    code, out, _ = office.run("schedule", "list")
    assert code == 0
    assert "others  '0 0 1 1 *'" in out
    assert re.search(rf"\n  last    {file}[:,] .*{sentence}", out)
    with Schedules() as schedules:
        moment = datetime(2026, 11, 16, tzinfo=UTC)
        schedules.record.due("words", moment)
        schedules.record.ended(Run("words", moment, 1, 1.0, "kept", "No better."))
    (_, shown) = view.everything()["schedules"]
    assert shown["last"]["verdict"] == "kept"
    assert sentence in shown["last"]["told"]


@pytest.fixture
def call(office, capsys, monkeypatch):
    """`launcher schedule …` in this process and in the office's folder; what it printed."""
    monkeypatch.chdir(office.folder)

    def run(*arguments):
        cli(["schedule", *arguments], standalone_mode=False)
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.toml", "--cron", "0 3 * * 1"], "missing.toml: no such config file"),
        (["words.toml", "--cron", "0 0 31 2 *"], "never comes true"),
        (["words.toml", "--cron", "0 3 * * 1", "--timezone", "Berlin"], "--timezone Berlin: no"),
        (["words.toml", "--cron", "0 3 * * 1", "--name", "../x"], "--name ../x: use up to 40"),
        (["words.toml"], "Missing parameter: cron"),
    ],
)
def test_add_refuses_what_could_never_work(office, call, arguments, sentence):
    """`add` says at once, with exit code 2, what would fail at every run."""
    office.schedule("words")
    call("remove", "words")
    with pytest.raises((UsageError, click.UsageError), match=sentence) as refused:
        call("add", *arguments)
    assert refused.value.exit_code == 2
    assert "no schedules" in call("list")


@pytest.mark.parametrize(
    ("config", "folder", "shown"),
    [(b"caf\xe9.toml", b"", r"caf\xe9.toml"), (b"../words.toml", b"a\nb", r"a\nb")],
)
def test_add_refuses_a_path_that_no_text_can_name(office, call, monkeypatch, config, folder, shown):
    """A path that is not UTF-8, or more than a line, is refused before a file has to name it."""
    config, folder = os.fsdecode(config), office.folder / os.fsdecode(folder)
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    Path(config).write_text(CONFIG)
    with pytest.raises(UsageError, match="a path that is one line of UTF-8") as refused:
        call("add", config, "--cron", "0 3 * * 1", "--timezone", "UTC")
    assert shown in str(refused.value)
    assert "no schedules" in call("list")


def test_add_in_a_deleted_folder_says_which(office):
    """In a current folder that somebody deleted, `add` names it, though the config is there."""
    office.schedule("words")
    gone = office.folder / "gone"
    add = f"schedule add {office.folder}/words.toml --cron '0 3 * * 1' --timezone UTC --replace"
    script = f"mkdir {gone}; cd {gone}; rmdir {gone}; exec {sys.executable} -P -m launcher {add}"
    done = subprocess.run(
        ["sh", "-c", script], env=office.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: the current folder {gone} does not exist any more\n")


def test_a_model_added_twice_says_so(office, call):
    """The second `add` names what is there and what may be done; --replace puts it in its place."""
    office.schedule("words")
    again = ["add", "words.toml", "--cron", "0 4 * * *", "--timezone", "Europe/Berlin"]
    with pytest.raises(UsageError, match="words is scheduled already: words.toml") as refused:
        call(*again)
    assert "--replace" in refused.value.hint
    assert "'0 4 * * *' Europe/Berlin: At 04:00 every day" in call(*again, "--replace")
    assert call("list").count("words.toml") == 1


def test_only_what_is_due_is_installed(office, call):
    """Nothing is installed where nothing is scheduled, nor a schedule that is paused."""
    with pytest.raises(UsageError, match="no schedules"):
        call("install", "--systemd", "--print")
    office.schedule("words")
    assert "OnCalendar=*-01-01 00:00:00 UTC" in call("install", "--systemd", "--print")
    call("pause", "words")
    with pytest.raises(UsageError, match="words is paused"):
        call("install", "--systemd", "--print")


def test_a_scheduler_loads_nothing_that_only_trainings_need(office):
    """Neither TensorFlow nor numpy is loaded to schedule, to look, or to start what is due."""
    office.schedule("words")
    code = (
        "import sys; from launcher.cli import cli; import launcher.schedule.runner; "
        "cli(['schedule', 'list'], standalone_mode=False); "
        "print({'tensorflow', 'numpy', 'scipy', 'rich', 'google', 'fabric'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_schedule_from_begin_to_end(office, call):
    """add, pause, resume and remove each say what they did."""
    office.schedule("words")
    added = call("add", "words.toml", "--cron", "0 3 * * 1", "--name", "weekly")
    assert added.startswith("weekly  '0 3 * * 1' ")  # followed by this computer's time zone
    assert "schedule resume weekly" in call("pause", "weekly")
    assert call("resume", "weekly").startswith("weekly is due again, next Mon ")
    assert call("remove", "weekly") == "weekly is not scheduled any more\n"
    with pytest.raises(UsageError):
        call("remove", "weekly")
