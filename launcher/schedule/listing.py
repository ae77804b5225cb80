"""What `launcher schedule list` shows."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import cronsim

from launcher.errors import LauncherError, describe
from launcher.jobs import records
from launcher.retrain import history
from launcher.schedule import locks, process, scheduler
from launcher.schedule.events import local_text
from launcher.schedule.schedule import Schedule, ScheduledRun
from launcher.schedule.store import Store

SHOWN = 3  # next times of each schedule
POLICIES = {
    "overlap": "A run that is due while an earlier run of its schedule is running is skipped.",
    "missed": "One run replaces all that were missed while no scheduler was running.",
    "clock_changes": "When clocks go forward, a time that does not exist becomes the moment of the "
    "change. When they go back, a time that exists twice becomes the first.",
}


def everything() -> dict[str, Any]:
    """Every schedule, the scheduler and the policies as JSON values."""
    shown = [one(schedule) for schedule in Store().all()]
    return {"scheduler": running_scheduler(), "schedules": shown, **POLICIES}


def one(schedule: Schedule) -> dict[str, Any]:
    """One schedule as JSON values, with times in its own zone."""
    cron, target = schedule.cron, schedule.target
    state = "running" if process.is_running(schedule.name) else ""
    return {
        "name": schedule.name,
        "model": target.model,
        "config": target.config,
        "folder": target.folder,
        "cron": cron.expression,
        "in_words": cronsim.CronSim(cron.expression, datetime.now(UTC)).explain(),
        "timezone": cron.timezone,
        "paused": schedule.next is None,
        "next": [time.astimezone(cron.zone).isoformat() for time in _next_times(schedule)],
        "now": state or ("waiting" if schedule.open_runs else ""),
        "last": _last_run(schedule),
    }


def running_scheduler() -> int | None:
    """The process of this user's scheduler, if one is running."""
    lock = scheduler.lock_file()
    return locks.read_pid(lock) if records.is_held(lock) else None


def text(shown: dict[str, Any]) -> str:
    """`everything` for people."""
    lines = [detail(schedule) for schedule in shown["schedules"]]
    if not lines:
        return "no schedules; launcher schedule add makes one"
    return "\n".join([*lines, *POLICIES.values(), scheduler_text(shown["scheduler"])])


def detail(shown: dict[str, Any]) -> str:
    """`one` for people."""
    times = ", ".join(_local(time, shown) for time in shown["next"])
    lines = [
        f"{shown['name']}  '{shown['cron']}' {shown['timezone']}: {shown['in_words']}",
        f"  config  {shown['config']} in {shown['folder']}",
        f"  next    {'paused' if shown['paused'] else times}",
    ]
    lines += [f"  now     {shown['now']}"] if shown["now"] else []
    if last := shown["last"]:
        run = last["scheduled"] and f"{_local(last['scheduled'], shown)}, {last['verdict']}"
        lines.append(f"  last    {': '.join(filter(None, (run, last['message'])))}")
    return "\n".join(lines)


def scheduler_text(pid: int | None) -> str:
    """Whether a scheduler is running, for people."""
    if pid is not None:
        return f"A scheduler is running: process {pid}."
    return (
        "No scheduler is running: start one with launcher schedule run, or let systemd or cron do "
        "it with launcher schedule install."
    )


def _local(time: str, shown: dict[str, Any]) -> str:
    return local_text(datetime.fromisoformat(time), ZoneInfo(shown["timezone"]))


def _next_times(schedule: Schedule) -> Iterator[datetime]:
    """The next times, from the stored one on, which the scheduler uses. A stored time in the past,
    as with systemd or cron, is none of them."""
    due, now = schedule.next, datetime.now(UTC)
    if due is None:
        return iter(())
    first = (due,) if due > now else ()
    return islice(chain(first, schedule.cron.times(max(due, now))), SHOWN)


def _last_run(schedule: Schedule) -> dict[str, Any] | None:
    """The run that ended last, scheduled or not; or why the model's history cannot be read."""
    run = schedule.last_run(time.time())
    try:
        other = _last_in_history(schedule)
    except (LauncherError, OSError) as error:
        if not run:
            return {"scheduled": None, "verdict": "", "message": describe(error)}
        run, other = replace(run, message=describe(error)), None
    if other and not (run and (run.ended or 0.0) >= (other.ended or 0.0)):
        run = other
    if not run:
        return None
    scheduled = run.scheduled.astimezone(schedule.cron.zone).isoformat()
    return {"scheduled": scheduled, "verdict": run.verdict, "message": run.message}


def _last_in_history(schedule: Schedule) -> ScheduledRun | None:
    target = schedule.target
    file = Path(target.folder) / history.MODELS / target.model / history.FILE
    ended = [run for run in history.fold(records.read(file), file).runs if run.ended]
    if not ended:
        return None
    last = ended[-1]
    started = datetime.fromtimestamp(last.began, UTC)
    scheduled = datetime.fromisoformat(last.scheduled) if last.scheduled else started
    message = last.error or " ".join(last.reasons)
    return ScheduledRun(schedule.name, scheduled, 1, last.ended, str(last.verdict), message)
