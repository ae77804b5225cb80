"""How a schedule moves on, what it keeps of its runs, and its JSON."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from launcher.schedule.cron import Cron
from launcher.schedule.schedule import KEPT, Schedule, ScheduledRun, from_json, to_json
from launcher.schedule.target import Target

FIRST = datetime(2026, 11, 1, 2, tzinfo=UTC)
NOW = datetime(2026, 11, 9, 14, tzinfo=UTC)
LAST = datetime(2026, 11, 9, 2, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def schedule():
    """Due every day at 03:00 in Berlin, next at FIRST, which is nine times before NOW."""
    target = Target("words.toml", "/work", "words", "abc")
    return Schedule("words", target, Cron("0 3 * * *", "Europe/Berlin"), FIRST)


def test_advance_replaces_missed_times_by_the_last(schedule):
    """The run that is due is that of the last time before now, and stands for those before it."""
    moved, run, missed = schedule.advance(NOW, None)
    assert (run.scheduled, missed, moved.next) == (LAST, 8, LAST + DAY)
    assert moved.open_runs == [run]


def test_advance_counts_no_missed_time_if_one_is_due(schedule):
    """A schedule that is due for the first time has missed nothing."""
    _, run, missed = schedule.advance(FIRST, None)
    assert (run.scheduled, missed) == (FIRST, 0)


def test_advance_returns_no_run_that_is_known(schedule):
    """A time that has a run already, as after the clock was set back, is not due again."""
    known = schedule.with_run(ScheduledRun("words", LAST, 1, 1.0, "kept"))
    moved, run, _ = known.advance(NOW, None)
    assert (run, moved.next, moved.runs) == (None, LAST + DAY, known.runs)


def test_advance_starts_after_a_time_that_was_handled_without_a_record(schedule):
    """A full disk leaves the next time in the past: times up to the handled one are not due, and
    are not counted as missed."""
    assert schedule.advance(NOW, LAST)[1] is None
    _, run, missed = schedule.advance(NOW, LAST - 2 * DAY)
    assert (run.scheduled, missed) == (LAST, 1)
    _, run, missed = schedule.advance(NOW, NOW + DAY)  # handled while the clock was ahead
    assert (run.scheduled, missed) == (LAST, 8)


def test_with_run_keeps_the_newest_and_every_open_run(schedule):
    """Old runs are dropped once they have ended; a run without a verdict never is."""
    for number in range(KEPT + 10):
        ended = None if number == 3 else 1.0
        schedule = schedule.with_run(ScheduledRun("words", FIRST + number * DAY, 1, ended))
    days = [(run.scheduled - FIRST).days for run in schedule.runs]
    assert days == [3, *range(10, KEPT + 10)]
    assert schedule.with_run(replace(schedule.runs[5], verdict="kept")).runs[5].verdict == "kept"


def test_json_of_a_schedule_round_trips(schedule):
    """A schedule with runs is the same after it was stored as JSON, paused or not."""
    schedule = schedule.with_run(ScheduledRun("words", FIRST, 2, 1.5, "kept", "No better."))
    for kept in (schedule, replace(schedule, next=None)):
        assert from_json("words", json.loads(json.dumps(to_json(kept)))) == kept
