"""What `launcher schedule` shows."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click
import pytest

from launcher.cli import cli
from launcher.errors import UsageError
from launcher.retrain.history import History
from launcher.schedule import view
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
