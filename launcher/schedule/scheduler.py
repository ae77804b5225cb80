"""The scheduler: starts each run that is due, a few at once, and waits for its verdict."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from launcher import state
from launcher.errors import LauncherError, UsageError, describe
from launcher.schedule import locks, process
from launcher.schedule.events import Events, local_text
from launcher.schedule.process import Result, RunProcess
from launcher.schedule.schedule import Schedule, ScheduledRun
from launcher.schedule.store import NoSchedule, Store

POLL_SECONDS = 0.5  # until a change by another process is seen
TRIES = 3  # of a run that crashed before it printed a verdict
READING, WRITING = "reading the folder", "writing"  # what may fail, besides a schedule's file


def run(launcher: tuple[str, ...], max_parallel: int, events: Events) -> None:
    """Start what is due until Ctrl-C or SIGTERM, then wait for the runs to end.

    `launcher` is the command that `retrain CONFIG …` is appended to. Raises UsageError while
    another scheduler of this user is running, LauncherError for a damaged schedule.
    """
    lock = locks.take(lock_file())
    if lock is None:
        pid = locks.read_pid(lock_file())
        raise UsageError(f"a scheduler is running already: process {pid}", "launcher schedule list")
    try:
        locks.write_pid(lock, os.getpid())
    except OSError as error:
        raise LauncherError(f"{lock_file()}: {error.strerror}") from error
    Scheduler(launcher, max_parallel, events).run()


def lock_file() -> Path:
    """Locked while a scheduler of this user is running; names its process."""
    return state.home() / "scheduler.lock"


class Scheduler:
    """Keeps runs moving from due to waiting to running to ended, and the store up to date."""

    def __init__(self, launcher: tuple[str, ...], max_parallel: int, events: Events) -> None:
        self._launcher = launcher
        self._max_parallel = max_parallel
        self._event = events
        self._store = Store()
        self._signals: SimpleQueue[Callable[[], None]] = SimpleQueue()  # safe in signal handlers
        self._waiting: dict[str, ScheduledRun] = {}  # in the order in which they became due
        self._running: dict[str, tuple[ScheduledRun, RunProcess]] = {}
        self._handled: dict[str, datetime] = {}  # the last time of each schedule that was due
        self._errors: dict[str, str] = {}  # reported ones, by schedule or WRITING
        self._looked = datetime.max.replace(tzinfo=UTC)  # when it looked for due runs last
        self._stopping = False

    def run(self) -> None:
        """Until it is asked to stop."""
        with self._signal_handlers():
            count, most = len(self._store.all()), self._max_parallel
            facts = f"process {os.getpid()}, schedules: {count}, at most {most} at once"
            self._event("scheduler started", "", facts)
            with self._reported(WRITING):
                self._store.check_writable()
            for run in self._store.open_runs():
                self._take_over(run)
            while self._running or not self._stopping:
                self._end_runs()
                seconds = POLL_SECONDS
                if not self._stopping:
                    seconds = self._find_due()
                    self._start_waiting()
                self._wait(seconds)
        self._event("scheduler stopped", "", "")

    def _find_due(self) -> float:
        """Queue the runs that are due. Returns the seconds until the next is."""
        now = datetime.now(UTC)
        set_back, self._looked = now < self._looked, now
        schedules = sorted(self._active(), key=lambda found: found[0])
        for due, schedule in schedules:
            if due <= now:
                self._take_due(schedule, now)
            elif set_back:
                self._correct(schedule, due, now)
        later = [(due - now).total_seconds() for due, _ in schedules if due > now]
        return min(later, default=POLL_SECONDS)

    def _active(self) -> Iterator[tuple[datetime, Schedule]]:
        """Every schedule that can be read and is not paused, with its next time."""
        with self._reported(READING):
            for name in self._store.names():
                with self._reported(name), contextlib.suppress(NoSchedule):
                    schedule = self._store.find(name)
                    if schedule.next:
                        yield schedule.next, schedule

    def _take_due(self, schedule: Schedule, now: datetime) -> None:
        """Move a schedule on and record its run in one write, so that no crash separates them. The
        run starts also if the disk refuses the write, but not if another process changed the
        schedule meanwhile."""
        moved, run, missed = schedule.advance(now, self._handled.get(schedule.name))
        unchanged = True
        with self._reported(WRITING), contextlib.suppress(NoSchedule):
            unchanged = self._store.replace(schedule, moved)
        if not run or not unchanged:
            return
        self._handled[run.schedule] = run.scheduled
        if missed:
            self._run_event("missed", run, f"{missed} earlier; one run replaces all", missed=missed)
        self._enqueue(run)

    def _correct(self, schedule: Schedule, wrong: datetime, now: datetime) -> None:
        """Replace a next time that was found while the clock was ahead."""
        right = schedule.cron.next(now)
        if not right or right >= wrong:
            return
        with self._reported(WRITING), contextlib.suppress(NoSchedule):
            if self._store.replace(schedule, replace(schedule, next=right)):
                times = [local_text(time, schedule.cron.zone) for time in (right, wrong)]
                message = "next {}; the clock was ahead when it was set to {}".format(*times)
                self._event("corrected", schedule.name, message, scheduled=right.isoformat())

    def _enqueue(self, run: ScheduledRun) -> None:
        if run.schedule in self._waiting or run.schedule in self._running:
            self._end(run, Result("skipped", "it was due before an earlier run ended"))
        else:
            self._waiting[run.schedule] = run

    def _take_over(self, run: ScheduledRun) -> None:
        """Continue with a run of an earlier scheduler, which waits, is running, or crashed."""
        busy = run.schedule in self._waiting or run.schedule in self._running
        is_running = process.is_running(run.schedule)
        if busy or not (run.tries or is_running):
            self._enqueue(run)
            return
        self._running[run.schedule] = run, RunProcess(run.schedule)
        if is_running:
            self._run_event("taken over", run, "an earlier scheduler started it; it is running")

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._max_parallel:
            run = self._waiting.pop(next(iter(self._waiting)))
            try:
                self._start(run, self._store.find(run.schedule))
            except NoSchedule:
                self._run_event("dropped", run, "its schedule was removed before it started")
            except LauncherError as error:
                self._end(run, Result("failed", str(error)))

    def _start(self, run: ScheduledRun, schedule: Schedule) -> None:
        run = replace(run, tries=run.tries + 1)
        name, target, record = schedule.name, schedule.target, partial(self._record, run)
        try:
            started = process.start(self._launcher, name, target, run.scheduled, record)
        except OSError as error:
            self._end(run, Result("failed", describe(error)))
            return
        if started is None:
            self._end(run, Result("skipped", "an earlier run is running"))
            return
        self._running[name] = run, started
        due = local_text(run.scheduled, schedule.cron.zone)
        self._run_event("started", run, f"due {due}, process {started.pid}", pid=started.pid)

    def _end_runs(self) -> None:
        for name, (run, started) in list(self._running.items()):
            if result := started.result():
                del self._running[name]
                self._ended(run, result)

    def _ended(self, run: ScheduledRun, result: Result) -> None:
        crashed = not result.verdict
        if self._stopping and (crashed or result.verdict == "interrupted"):
            self._record(replace(run, tries=0))
            self._run_event("interrupted", run, "it continues when a scheduler starts again")
        elif crashed and run.tries < TRIES:
            self._waiting[run.schedule] = run
            self._run_event("crashed", run, f"{result.message}; it starts again at once")
        elif crashed:
            message = f"crashed {TRIES} times: {result.message}; launcher status shows what is left"
            self._end(run, Result("failed", message))
        else:
            self._end(run, result)

    def _end(self, run: ScheduledRun, result: Result) -> None:
        run = replace(run, ended=time.time(), verdict=result.verdict, message=result.message)
        self._record(run)
        self._run_event(run.verdict, run, run.message)

    def _record(self, run: ScheduledRun) -> None:
        with self._reported(WRITING):
            self._store.record(run)

    def _run_event(self, event: str, run: ScheduledRun, message: str, **facts: object) -> None:
        facts = {"scheduled": run.scheduled.isoformat(), **facts}
        self._event(event, run.schedule, message, **facts)

    @contextlib.contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        """Report a LauncherError in the block, such as a full disk, once, and continue. It is
        reported again only after a block about the same `what` went well."""
        try:
            yield
            self._errors.pop(what, None)
        except LauncherError as error:
            if str(error) not in self._errors.values():
                self._event("error", "", "; ".join(filter(None, (str(error), error.hint))))
            self._errors[what] = str(error)

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            ending = f"; {len(self._running)} runs are asked to end" if self._running else ""
            self._event("scheduler stopping", "", f"no new run starts{ending}")
        for _, started in self._running.values():
            started.terminate()

    def _wait(self, seconds: float) -> None:
        """Wait for a signal, but not longer than another process's change may wait."""
        with contextlib.suppress(Empty):
            act = self._signals.get(timeout=min(seconds, POLL_SECONDS))
            while True:
                act()
                act = self._signals.get_nowait()

    @contextlib.contextmanager
    def _signal_handlers(self) -> Iterator[None]:
        """Ctrl-C, SIGTERM and a closed terminal stop the scheduler; the end of a run wakes it."""
        stopping = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        acts = {n: self._stop for n in stopping if signal.getsignal(n) != signal.SIG_IGN}
        acts[signal.SIGCHLD] = lambda: None
        before = {
            number: signal.signal(number, lambda *_, act=act: self._signals.put(act))
            for number, act in acts.items()
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
