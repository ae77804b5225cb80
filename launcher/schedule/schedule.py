"""A schedule and its runs, how they change, and their JSON. Pure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from launcher.schedule.cron import Cron
from launcher.schedule.target import Target

FORMAT = 1  # of the JSON
KEPT = 200  # runs in the file of a schedule; the model's own history has them all


@dataclass(frozen=True)
class ScheduledRun:
    """A run that was due."""

    schedule: str
    scheduled: datetime  # in UTC
    tries: int = 0  # how often it was started
    ended: float | None = None  # seconds since the epoch; None: it waits, is running, or crashed
    verdict: str = ""  # "" until it ended
    message: str = ""


@dataclass(frozen=True)
class Schedule:
    """What is retrained, when, and the runs so far."""

    name: str
    target: Target
    cron: Cron
    next: datetime | None  # in UTC; None while paused
    runs: tuple[ScheduledRun, ...] = ()  # in the order in which they became due

    @property
    def open_runs(self) -> list[ScheduledRun]:
        """The runs without a verdict."""
        return [run for run in self.runs if run.ended is None]

    def last_run(self, now: float) -> ScheduledRun | None:
        """The run that ended last. An end in the future, from a wrong clock, counts least."""
        ended = [(run.ended <= now, run.ended, run) for run in self.runs if run.ended is not None]
        return max(ended, key=lambda found: found[:2])[2] if ended else None

    def with_run(self, run: ScheduledRun) -> "Schedule":
        """Add `run`, or replace what was known of it. Drop ended runs that are too old."""
        runs = {known.scheduled: known for known in self.runs} | {run.scheduled: run}
        old, new = list(runs.values())[:-KEPT], list(runs.values())[-KEPT:]
        return replace(self, runs=(*(one for one in old if one.ended is None), *new))

    def advance(
        self, now: datetime, handled: datetime | None
    ) -> tuple["Schedule", ScheduledRun | None, int]:
        """Move a schedule that is due past `now`: the schedule, the run that is due, and how many
        earlier times that run replaces. The run is None if its time is known, or is `handled`:
        started without a record of it."""
        if self.next is None:
            return self, None, 0
        times: Iterator[datetime] = chain((self.next,), self.cron.times(self.next))
        if handled and self.next <= handled <= now:
            times = self.cron.times(handled)
        due, count, following = None, 0, None
        for time in times:
            if time > now:
                following = time
                break
            due, count = time, count + 1
        moved = replace(self, next=following)
        if due is None or any(run.scheduled == due for run in self.runs):
            return moved, None, 0
        run = ScheduledRun(self.name, due)
        return moved.with_run(run), run, count - 1


def to_json(schedule: Schedule) -> dict[str, Any]:
    """The content of a schedule's file."""
    return {
        "format": FORMAT,
        **asdict(schedule.target),
        **asdict(schedule.cron),
        "next": schedule.next and schedule.next.isoformat(),
        "runs": [asdict(run) | {"scheduled": run.scheduled.isoformat()} for run in schedule.runs],
    }


def from_json(name: str, content: dict[str, Any]) -> Schedule:
    """The schedule in a file. Raises any exception for what `to_json` did not return."""
    cron = Cron(str(content["expression"]), str(content["timezone"]))
    cron.next(datetime.now(UTC))  # an expression or zone that does not exist
    found = Schedule(
        name,
        Target(*(str(content[key]) for key in Target.__dataclass_fields__)),
        cron,
        content["next"] and _utc(content["next"]),
        tuple(_run(name, run) for run in content["runs"]),
    )
    if to_json(found) != content:  # as where a number is a string, or the format is a later one
        raise ValueError("this launcher would not write it so")
    return found


def _run(name: str, run: dict[str, Any]) -> ScheduledRun:
    ended = None if run["ended"] is None else float(run["ended"])
    texts = str(run["verdict"]), str(run["message"])
    return ScheduledRun(name, _utc(run["scheduled"]), int(run["tries"]), ended, *texts)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
