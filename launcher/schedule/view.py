"""Looking at the schedules."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path

import cronsim

from launcher.errors import LauncherError, describe
from launcher.jobs import records
from launcher.retrain import history
from launcher.schedule import child, locks, runner, store
from launcher.schedule.record import Run
from launcher.schedule.store import Schedule, Schedules
from launcher.schedule.tell import clock

SHOWN = 3  # next times of each
POLICIES = {
    "overlap": "A run that is due while an earlier one of it goes on is skipped.",
    "missed": "Runs missed while no scheduler was at work are made up for by one.",
    "clock_changes": "A time that the clock jumps over is the moment of the jump; a time that "
    "comes twice is the first.",
}


def everything() -> dict:
    """Every schedule, and whether a scheduler is at work, as plain JSON values."""
    shown = []
    if store.path().exists():  # looking makes none
        with Schedules() as schedules:
            shown = [one(schedule, schedules) for schedule in schedules.all()]
    return {"scheduler": scheduler(), "schedules": shown, **POLICIES}


def one(schedule: Schedule, schedules: Schedules) -> dict:
    """One schedule as plain JSON values; its times as clocks in its zone show them."""
    cron, work = schedule.cron, schedule.work
    return {
        "name": schedule.name,
        "model": work.model,
        "config": work.config,
        "folder": work.folder,
        "cron": cron.expression,
        "in_words": cronsim.CronSim(cron.expression, datetime.now(UTC)).explain(),
        "timezone": cron.timezone,
        "paused": schedule.due is None,
        "next": [time.astimezone(cron.zone).isoformat() for time in _next(schedule)],
        "now": _now(schedule, schedules),
        "last": _last(schedule, schedules),
    }


def scheduler() -> int | None:
    """The process of the scheduler that is at work for this user, if one is."""
    lock = runner.lock_file()
    return locks.pid_of(lock) if records.is_held(lock) else None


def text(shown: dict) -> str:
    """All of it for people."""
    lines = [detail(schedule) for schedule in shown["schedules"]]
    if not lines:
        return "no schedules; launcher schedule add makes one"
    lines += [POLICIES[policy] for policy in POLICIES]
    return "\n".join([*lines, at_work(shown["scheduler"])])


def detail(shown: dict) -> str:
    """One schedule for people."""
    times = ", ".join(_clock(time, shown) for time in shown["next"])
    lines = [
        f"{shown['name']}  '{shown['cron']}' {shown['timezone']}: {shown['in_words']}",
        f"  config  {shown['config']} in {shown['folder']}",
        f"  next    {'paused' if shown['paused'] else times}",
    ]
    lines += [f"  now     {shown['now']}"] if shown["now"] else []
    if last := shown["last"]:
        time = last["scheduled"] and f"{_clock(last['scheduled'], shown)}, {last['verdict']}"
        lines.append(f"  last    {': '.join(filter(None, (time, last['told'])))}")
    return "\n".join(lines)


def at_work(pid: int | None) -> str:
    """Whether anybody starts what is due, for people."""
    if pid is not None:
        return f"A scheduler is at work: process {pid}."
    return (
        "No scheduler is at work: launcher schedule run is one, and launcher schedule install "
        "leaves it to systemd or cron."
    )


def _clock(time: str, shown: dict) -> str:
    from zoneinfo import ZoneInfo

    return clock(datetime.fromisoformat(time), ZoneInfo(shown["timezone"]))


def _now(schedule: Schedule, schedules: Schedules) -> str:
    """Whether a run goes on, or is to begin or to go on as soon as a scheduler can."""
    if child.is_going(schedule.name):
        return "going"
    waits = any(run.schedule == schedule.name for run in schedules.record.open())
    return "waiting" if waits else ""


def _next(schedule: Schedule) -> Iterator[datetime]:
    """The next times, from the stored one on, which is what a scheduler goes by. One that has
    passed, as where systemd or cron starts what is due, is no next time."""
    due, now = schedule.due, datetime.now(UTC)
    if due is None:
        return iter(())
    first = (due,) if due > now else ()
    return islice(chain(first, schedule.cron.times(max(due, now))), SHOWN)


def _last(schedule: Schedule, schedules: Schedules) -> dict | None:
    """The run that ended last: of the scheduler, or of whoever else retrained the model. Where the
    model's history cannot be read, that is said instead."""
    run = schedules.record.last(schedule.name)
    try:
        theirs = _of_history(schedule)
    except (LauncherError, OSError) as error:
        told = describe(error) if isinstance(error, OSError) else str(error)
        if not run:
            return {"scheduled": None, "verdict": "", "told": told}
        run, theirs = replace(run, told=told), None
    if theirs and not (run and run.ended >= theirs.ended):
        run = theirs
    if not run:
        return None
    scheduled = run.scheduled.astimezone(schedule.cron.zone).isoformat()
    return {"scheduled": scheduled, "verdict": run.verdict, "told": run.told}


def _of_history(schedule: Schedule) -> Run | None:
    """The run that ended last by the model's own history."""
    file = Path(schedule.work.folder) / history.MODELS / schedule.work.model / history.FILE
    ended = [run for run in history.fold(records.read(file), file) if run.ended]
    if not ended:
        return None
    last = ended[-1]
    scheduled = datetime.fromisoformat(last.scheduled) if last.scheduled else _moment(last.began)
    told = last.error or " ".join(last.reasons)
    return Run(schedule.name, scheduled, 1, last.ended, last.verdict, told)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
