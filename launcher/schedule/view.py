"""Looking at the schedules."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import cronsim

from launcher import records
from launcher.errors import LauncherError
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
    times = islice(cron.times(datetime.now(UTC)), SHOWN) if schedule.due else ()
    last = _last(schedule, schedules)
    if last:
        scheduled = last.scheduled.astimezone(cron.zone).isoformat()
        last = {"scheduled": scheduled, "verdict": last.verdict, "told": last.told}
    return {
        "name": schedule.name,
        "model": work.model,
        "config": work.config,
        "folder": work.folder,
        "cron": cron.expression,
        "in_words": cronsim.CronSim(cron.expression, datetime.now(UTC)).explain(),
        "timezone": cron.timezone,
        "paused": schedule.due is None,
        "next": [time.astimezone(cron.zone).isoformat() for time in times],
        "now": _now(schedule, schedules),
        "last": last,
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
        told = f": {last['told']}" if last["told"] else ""
        lines.append(f"  last    {_clock(last['scheduled'], shown)}, {last['verdict']}{told}")
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


def _last(schedule: Schedule, schedules: Schedules) -> Run | None:
    """The run that ended last: of the scheduler, or of whoever else retrained the model."""
    ours = schedules.record.last(schedule.name)
    folder = Path(schedule.work.folder) / history.MODELS / schedule.work.model
    try:
        ended = [run for run in history.fold(records.read(folder / history.FILE)) if run.ended]
    except LauncherError as error:
        return replace(ours, told=str(error)) if ours else None
    if not ended or (ours and ours.ended >= ended[-1].ended):
        return ours
    last = ended[-1]
    scheduled = datetime.fromisoformat(last.scheduled) if last.scheduled else _moment(last.began)
    told = last.error or " ".join(last.reasons)
    return Run(schedule.name, scheduled, 1, last.ended, last.verdict, told)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
