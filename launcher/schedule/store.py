"""The schedules, in one SQLite file that APScheduler keeps: the only truth about them."""

import contextlib
import hashlib
import logging
import os
import pickle
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import ConflictingIdError, JobLookupError
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.base import BaseScheduler
from sqlalchemy import URL, Engine, NullPool, create_engine, select
from sqlalchemy.exc import DatabaseError

from launcher import state
from launcher.errors import LauncherError, UsageError, describe
from launcher.schedule.cron import Cron
from launcher.schedule.record import RUNS, Record

BUSY_SECONDS = 10  # for another launcher to end its write
TABLES = {"apscheduler_jobs", RUNS.name}
FULL = (sqlite3.SQLITE_FULL,)
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def path() -> Path:
    """Where the schedules of this user stand."""
    return state.home() / "schedules.sqlite"


@dataclass(frozen=True)
class Work:
    """What is to be done when a schedule is due. All are strings, as any later version reads."""

    config: str  # as it was given
    folder: str  # that it was given in, where the retraining runs
    model: str
    digest: str  # of the config, as launcher.config has it


@dataclass(frozen=True)
class Schedule:
    """One schedule: its work, when it is due, and the next time; None while it is paused."""

    name: str
    work: Work
    cron: Cron
    due: datetime | None


class Store(SQLAlchemyJobStore):
    """APScheduler's store, which keeps a row that it cannot read instead of deleting it."""

    def __init__(self, engine: Engine, file: Path) -> None:
        super().__init__(engine=engine)
        self.file = file

    def pickled(self, job: Job) -> bytes:
        """A job as its row holds it."""
        return pickle.dumps(job.__getstate__(), self.pickle_protocol)

    def lookup_job(self, job_id: str) -> Job | None:
        found = self._get_jobs(self.jobs_t.c.id == job_id)
        return found[0] if found else None

    def _get_jobs(self, *conditions) -> list[Job]:
        columns = (self.jobs_t.c.id, self.jobs_t.c.job_state)
        rows = select(*columns).where(*conditions).order_by(self.jobs_t.c.next_run_time)
        with self.engine.begin() as connection:
            return [self._job(*row) for row in connection.execute(rows)]

    def _job(self, name: str, state: bytes) -> Job:
        try:
            return self._reconstitute_job(state)
        except Exception as error:  # unpickling may raise whatever it likes
            raise _damaged(self.file, f"its schedule {name} cannot be read: {error}") from error


class Clockless(BaseScheduler):
    """APScheduler for changing schedules: it starts nothing. One with a clock looks for what is
    due even as it is shut down, and what it finds then is lost."""

    def wakeup(self) -> None:
        """There is nobody to wake."""

    def shutdown(self, wait: bool = True) -> None:
        super().shutdown(wait)


class Schedules:
    """The store, open. Other launchers may have it open, too: each change is one transaction.

    Raises LauncherError where the file is damaged, of which a copy is kept, or where the disk is
    full, and then nothing is changed.
    """

    def __init__(
        self,
        scheduler: type[BaseScheduler] = Clockless,
        store: type[Store] = Store,
        executor: BaseExecutor | None = None,
        **options: object,
    ) -> None:
        self.path = path()
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # what counts is said by us
        with translated(self.path):
            if not self.path.exists():
                _make(self.path)
            _examine(self.path)
            self.engine = engine = _engine(self.path)
            self.record = Record(engine)
            self.scheduler = scheduler(
                timezone=UTC,
                jobstores={"default": store(engine, self.path, **options)},
                executors={"default": executor} if executor else {},
            )
            self.scheduler.start(paused=True)
            self.scheduler.get_jobs()  # a row that cannot be read is damage, too

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.scheduler.shutdown(wait=False)

    def check_writable(self) -> None:
        """Raises LauncherError where the file can be read but not changed."""
        with translated(self.path), self.engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA user_version = 0")  # as it is; but it is written

    def all(self) -> list[Schedule]:
        """Every schedule, by name."""
        with translated(self.path):
            return sorted(map(_schedule, self.scheduler.get_jobs()), key=lambda found: found.name)

    def find(self, name: str) -> Schedule:
        """The schedule called `name`. Raises UsageError."""
        with translated(self.path):
            job = self.scheduler.get_job(name)
        if not job:
            known = ", ".join(found.name for found in self.all()) or "none"
            raise UsageError(f"no schedule {name!r}", f"schedules: {known}")
        return _schedule(job)

    def add(self, name: str, work: Work, cron: Cron, replace: bool) -> Schedule:
        """Keep a new schedule, with `replace` in the place of one of the same name. Raises
        UsageError where there is one."""
        try:
            with translated(self.path):
                self.scheduler.add_job(
                    Work,
                    cron,
                    id=name,
                    name=name,
                    kwargs=asdict(work),
                    coalesce=True,
                    misfire_grace_time=None,
                    replace_existing=replace,
                )
        except ConflictingIdError:
            old = self.find(name)
            raise UsageError(
                f"{name} is scheduled already: {old.work.config} in {old.work.folder}, "
                f"'{old.cron.expression}' {old.cron.timezone}",
                "--replace puts this in its place; --name NAME keeps both",
            ) from None
        return self.find(name)

    def remove(self, name: str) -> None:
        """Forget a schedule and what is recorded of its runs. Raises UsageError."""
        self.find(name)
        with translated(self.path), contextlib.suppress(JobLookupError):
            self.scheduler.remove_job(name)
            self.record.forget(name)

    def pause(self, name: str) -> None:
        """Let a schedule be due no more until `resume`. Raises UsageError."""
        self.find(name)
        with translated(self.path):
            self.scheduler.pause_job(name)

    def resume(self, name: str) -> Schedule:
        """Let a paused schedule be due again, from now on. Raises UsageError."""
        if self.find(name).due is None:
            with translated(self.path):
                self.scheduler.resume_job(name)
        return self.find(name)


@contextlib.contextmanager
def translated(file: Path) -> Iterator[None]:
    """SQLite's errors as the launcher's."""
    try:
        yield
    except DatabaseError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code in DAMAGED or "no such table" in str(error.orig):
            raise _damaged(file, str(error.orig)) from error
        if code in FULL:
            raise LauncherError(
                f"{file}: no space left on its disk; nothing was changed"
            ) from error
        raise LauncherError(f"{file}: {error.orig}") from error
    except OSError as error:
        raise LauncherError(describe(error)) from error


def _schedule(job: Job) -> Schedule:
    return Schedule(job.id, job.func(**job.kwargs), job.trigger, job.next_run_time)


def _engine(file: Path, mode: str = "rw") -> Engine:
    """SQLite on `file`, which is not made unless `mode` is "rwc"."""
    url = URL.create("sqlite", database=_uri(file, mode), query={"uri": "true"})
    # Without a pool, no handle outlives its transaction: a file put back by hand is seen at once.
    return create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS})


def _uri(file: Path, mode: str) -> str:
    return f"{file.absolute().as_uri()}?mode={mode}"


def _make(file: Path) -> None:
    """A new store appears with its tables in it, or not at all: an empty file is a damaged one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unborn = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        engine = _engine(unborn, "rwc")
        Store(engine, unborn).jobs_t.create(engine)
        RUNS.create(engine)
        with contextlib.suppress(FileExistsError):  # of two launchers that start at once, one wins
            os.link(unborn, file)
    finally:
        unborn.unlink(missing_ok=True)


def _examine(file: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(_uri(file, "rw"), uri=True)) as connection:
            (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            names = connection.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_CANTOPEN:
            file.open("rb").close()  # the system says why, which SQLite does not
        if code not in DAMAGED:
            raise LauncherError(f"{file}: {error}") from error
        raise _damaged(file, str(error)) from error
    if result != "ok":
        raise _damaged(file, result)
    if missing := TABLES - {name for (name,) in names}:
        raise _damaged(file, f"it has no table {min(missing)}")


def _damaged(file: Path, how: str) -> LauncherError:
    """Keep a copy of a damaged store, once, and say so."""
    content = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    copy = file.with_name(f"{file.stem}.damaged-{content}{file.suffix}")
    if not copy.exists():
        shutil.copyfile(file, copy)
    return LauncherError(
        f"{file} is damaged: {' '.join(how.split())}; a copy is kept in {copy}",
        f"put a backup in its place, or delete {file} to begin without any schedule",
    )
