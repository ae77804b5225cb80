"""The store in the hands of the long-running scheduler, with others at work on it beside it."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice, takewhile
from pathlib import Path

from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.util import datetime_to_utc_timestamp
from sqlalchemy import Engine

from launcher.errors import LauncherError
from launcher.schedule.store import Store, path, translated
from launcher.schedule.tell import clock

MOST_COUNTED = 1000  # missed runs; more need not be told apart


class Trouble:
    """What a moment brings, such as a full disk or a damaged file, is told once and outlived."""

    def __init__(self, tell: Callable) -> None:
        self._tell = tell
        self._told = ""

    @contextlib.contextmanager
    def outlived(self, writes: bool = True) -> Iterator[None]:
        """LauncherErrors in the block, and SQLite's, are told. What was told is told again only
        after a block that `writes` went well."""
        try:
            with translated(path()):
                yield
            self._told = "" if writes else self._told
        except LauncherError as error:
            if self._told != str(error):
                self._told = str(error)
                self._tell("trouble", "", "; ".join(filter(None, (str(error), error.hint))))


class LiveStore(Store):
    """Outlives trouble, and gives way to a change that another process made between its own read
    and write."""

    def __init__(self, engine: Engine, file: Path, trouble: Trouble, tell: Callable) -> None:
        super().__init__(engine, file)
        self._trouble = trouble
        self._tell = tell
        self._over = False
        self._right_at = datetime.max.replace(tzinfo=UTC)  # when the times were right last
        # What this thread read: another's reading says nothing about what this one overwrites.
        self._seen = threading.local()

    def shutdown(self) -> None:
        # APScheduler looks for what is due once more as it ends, when nobody hears of it.
        self._over = True
        super().shutdown()

    def get_due_jobs(self, now: datetime) -> list[Job]:
        if self._over:
            return []
        with self._trouble.outlived(writes=False):
            if now < self._right_at:  # at first, and whenever the clock is put back
                self._put_right(now)
            self._right_at = now
        with self._trouble.outlived(writes=False):
            return super().get_due_jobs(now)
        return []

    def get_next_run_time(self) -> datetime | None:
        with self._trouble.outlived(writes=False):
            return super().get_next_run_time()
        return None

    def _job(self, name: str, state: bytes) -> Job:
        vars(self._seen)[name] = state
        return super()._job(name, state)

    def update_job(self, job: Job) -> None:
        with self._trouble.outlived():
            self._write(job)

    def _put_right(self, now: datetime) -> None:
        """Times that were found while the clock was ahead, maybe by years, are found anew."""
        for job in self._get_jobs(self.jobs_t.c.next_run_time.is_not(None)):
            found, wrong = next(job.trigger.times(now), None), job.next_run_time
            if not found or found >= wrong:
                continue
            job._modify(next_run_time=found)
            if self._write(job):
                then, due = (clock(time, job.trigger.zone) for time in (wrong, found))
                told = f"next {due}; the clock was ahead when it was set to {then}"
                self._tell("put right", job.id, told, scheduled=found.isoformat())

    def _write(self, job: Job) -> bool:
        """Whether the row was still what this thread read, and was changed."""
        unchanged = self.jobs_t.c.job_state == vars(self._seen)[job.id]
        values = {
            "next_run_time": datetime_to_utc_timestamp(job.next_run_time),
            "job_state": self.pickled(job),
        }
        with self.engine.begin() as connection:
            rows = self.jobs_t.update().where(self.jobs_t.c.id == job.id, unchanged)
            return connection.execute(rows.values(values)).rowcount == 1

    def remove_job(self, job_id: str) -> None:
        with self._trouble.outlived(), contextlib.suppress(JobLookupError):
            super().remove_job(job_id)


class Announcer(BaseExecutor):
    """Announces what is due: its name, the last time of those that passed, and how many passed
    before it.

    That a run is skipped while another one of it goes is decided by whoever hears it: it is true
    also of a run that an earlier scheduler began, of which APScheduler knows nothing.
    """

    def __init__(self, announce: Callable[[str, datetime, int], object]) -> None:
        super().__init__()
        self._announce = announce

    def submit_job(self, job: Job, run_times: list[datetime]) -> None:
        self._do_submit_job(job, run_times)

    def _do_submit_job(self, job: Job, run_times: list[datetime]) -> None:
        last = run_times[-1]
        times = islice(job.trigger.times(job.next_run_time), MOST_COUNTED)
        missed = sum(1 for _ in takewhile(lambda time: time <= last, times))
        self._announce(job.id, last, missed)
