"""What became of the runs that were due: one row for each, beside the schedules."""

import time
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Engine, Float, Integer, MetaData, Row, String, Table, delete, select
from sqlalchemy import insert as _insert
from sqlalchemy import update as _update
from sqlalchemy.exc import IntegrityError

KEPT = 200  # runs of each schedule; the model's own history has them all

RUNS = Table(
    "runs",
    MetaData(),
    Column("schedule", String, primary_key=True),
    Column("scheduled", String, primary_key=True),  # ISO 8601 in UTC, so that it sorts by time
    Column("tries", Integer, nullable=False, default=0),  # how often it was begun
    Column("ended", Float),  # seconds since the epoch; NULL: it waits, or goes, or was cut off
    Column("verdict", String, nullable=False, default=""),
    Column("told", String, nullable=False, default=""),
)


@dataclass(frozen=True)
class Run:
    """A run of a schedule, and what became of it; `verdict` is "" while that is open."""

    schedule: str
    scheduled: datetime
    tries: int
    ended: float | None
    verdict: str
    told: str


class Record:
    """The rows. Every call is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def due(self, schedule: str, scheduled: datetime) -> bool:
        """A run is due: from now on it is not forgotten. False if it was known."""
        row = {"schedule": schedule, "scheduled": scheduled.isoformat()}
        try:
            with self._engine.begin() as connection:
                connection.execute(_insert(RUNS).values(row))
                connection.execute(_older(schedule))
        except IntegrityError:
            return False
        return True

    def begun(self, run: Run) -> None:
        """A run was begun once more."""
        self._change(run, tries=run.tries)

    def ended(self, run: Run) -> None:
        """A run has its verdict."""
        self._change(run, ended=run.ended, verdict=run.verdict, told=run.told)

    def open(self) -> list[Run]:
        """Every run without a verdict, the one that is due for longest first."""
        rows = select(RUNS).where(RUNS.c.ended.is_(None)).order_by(RUNS.c.scheduled)
        with self._engine.begin() as connection:
            return [_run(row) for row in connection.execute(rows)]

    def last(self, schedule: str) -> Run | None:
        """The run of `schedule` that ended last; one that ended while the clock was ahead, only
        until the next one has ended."""
        ended = select(RUNS).where(RUNS.c.schedule == schedule, RUNS.c.ended.is_not(None))
        newest = ended.order_by(RUNS.c.ended > time.time(), RUNS.c.ended.desc()).limit(1)
        with self._engine.begin() as connection:
            row = connection.execute(newest).first()
        return _run(row) if row else None

    def forget(self, schedule: str) -> None:
        """Forget every run of `schedule`."""
        with self._engine.begin() as connection:
            connection.execute(delete(RUNS).where(RUNS.c.schedule == schedule))

    def _change(self, run: Run, **values: object) -> None:
        which = (RUNS.c.schedule == run.schedule, RUNS.c.scheduled == run.scheduled.isoformat())
        with self._engine.begin() as connection:
            connection.execute(_update(RUNS).where(*which).values(values))


def _run(row: Row) -> Run:
    return Run(**(row._asdict() | {"scheduled": datetime.fromisoformat(row.scheduled)}))


def _older(schedule: str):
    """Deletes what nobody will look at any more."""
    own = RUNS.c.schedule == schedule
    newest = select(RUNS.c.scheduled).where(own).order_by(RUNS.c.scheduled.desc()).limit(KEPT)
    return delete(RUNS).where(own, RUNS.c.ended.is_not(None), RUNS.c.scheduled.not_in(newest))
