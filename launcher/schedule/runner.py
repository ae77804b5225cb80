"""The long-running scheduler: starts what is due, a few at once, and sees each to its end."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from apscheduler.schedulers.background import BackgroundScheduler

from launcher import state
from launcher.errors import LauncherError, UsageError, describe
from launcher.schedule import child, locks
from launcher.schedule.child import Child, Result
from launcher.schedule.live import Announcer, LiveStore, Trouble
from launcher.schedule.record import Run
from launcher.schedule.store import Schedule, Schedules
from launcher.schedule.tell import Teller, clock

POLL_SECONDS = 0.5  # after which another process's change is seen
TRIES = 3  # of a run that was cut off, as by SIGKILL, before it could say anything


@dataclass(frozen=True)
class Going:
    """A run that goes on now."""

    run: Run
    child: Child


def run(launcher: tuple[str, ...], max_parallel: int, tell: Teller) -> None:
    """Start what is due until Ctrl-C or SIGTERM, then until the last retraining has ended.

    `launcher` is the command behind which the words `retrain CONFIG …` are put. Raises UsageError
    while another scheduler of this user is at work.
    """
    lock = locks.take(lock_file())
    if lock is None:
        pid = locks.pid_of(lock_file())
        raise UsageError(f"a scheduler is at work already: process {pid}", "launcher schedule list")
    try:
        locks.note_pid(lock, os.getpid())
    except OSError as error:
        raise LauncherError(f"{lock_file()}: {error.strerror}") from error
    Runner(launcher, max_parallel, tell).run()


def lock_file() -> Path:
    """Locked while a scheduler of this user is at work; says which process that is."""
    return state.home() / "scheduler.lock"


class Runner:
    """Every fact below is changed by the main thread alone; others put words into `_inbox`."""

    def __init__(self, launcher: tuple[str, ...], max_parallel: int, tell: Teller) -> None:
        self._launcher = launcher
        self._max_parallel = max_parallel
        self._tell = tell
        self._trouble = Trouble(tell)
        self._inbox: SimpleQueue = SimpleQueue()  # the one queue that a signal handler may use
        self._waiting: dict[str, Run] = {}  # in the order in which they were due
        self._going: dict[str, Going] = {}
        self._announced: dict[str, datetime] = {}  # the last time of each schedule
        self._stopping = False

    def run(self) -> None:
        """Until asked to end."""
        live = (BackgroundScheduler, LiveStore, Announcer(self._announce))
        say = {"trouble": self._trouble, "tell": self._tell}
        with Schedules(*live, **say) as self._schedules, self._signals():
            count = len(self._schedules.all())
            most = f"{self._max_parallel} at once at most"
            self._tell("started", "", f"process {os.getpid()}, schedules: {count}, {most}")
            with self._trouble.outlived():
                self._schedules.check_writable()
            for run in self._schedules.record.open():
                self._take_up(run)
            self._schedules.scheduler.resume()
            while self._going or not self._stopping:
                self._listen()
                self._see_to_ends()
                self._begin_waiting()
                self._schedules.scheduler.wakeup()
        self._tell("ended", "", "")

    def _announce(self, name: str, scheduled: datetime, missed: int) -> None:
        """From APScheduler's thread, which moves the schedule on only after this returns: the
        record has a run before the schedule has forgotten it."""
        known = False
        with self._trouble.outlived():
            known = not self._schedules.record.due(name, scheduled)
        if not known:
            self._inbox.put(lambda: self._due(name, scheduled, missed))

    def _listen(self) -> None:
        """Do what others asked for, and wait for that if there is nothing else to do."""
        with contextlib.suppress(Empty):
            act = self._inbox.get(timeout=POLL_SECONDS)
            while True:
                act()
                act = self._inbox.get_nowait()

    def _due(self, name: str, scheduled: datetime, missed: int) -> None:
        if scheduled == self._announced.get(name):
            return  # what could not be written down on a full disk is announced again
        if missed:
            self._tell("missed", name, f"{missed} earlier; this run stands for all", missed=missed)
        self._enter(Run(name, scheduled, 0, None, "", ""))

    def _enter(self, run: Run) -> None:
        self._announced[run.schedule] = run.scheduled
        if run.schedule in self._waiting or run.schedule in self._going:
            self._end(run, Result("skipped", "due while an earlier run of it was not over"))
        else:
            self._waiting[run.schedule] = run

    def _take_up(self, run: Run) -> None:
        """A run that an earlier scheduler left: it still goes, ended meanwhile, or was cut off."""
        busy = run.schedule in self._waiting or run.schedule in self._going
        goes = child.is_going(run.schedule)
        if busy or not (run.tries or goes):
            self._enter(run)
            return
        self._announced[run.schedule] = run.scheduled
        self._going[run.schedule] = Going(run, child.adopt(run.schedule))
        if goes:
            self._tell("taken up", run.schedule, "an earlier scheduler began it, and it goes on")

    def _begin_waiting(self) -> None:
        while self._waiting and not self._stopping and len(self._going) < self._max_parallel:
            run = self._waiting.pop(next(iter(self._waiting)))
            try:
                self._begin(run, self._schedules.find(run.schedule))
            except UsageError:
                self._tell("dropped", run.schedule, "it was removed before its turn came")
            except LauncherError as error:
                self._end(run, Result("failed", str(error)))

    def _begin(self, run: Run, schedule: Schedule) -> None:
        once_more = replace(run, tries=run.tries + 1)
        name, note = run.schedule, partial(self._note, once_more)
        try:
            begun = child.begin(self._launcher, name, schedule.work, run.scheduled, note)
        except OSError as error:
            self._end(run, Result("failed", describe(error)))
            return
        if begun is None:
            self._end(run, Result("skipped", "an earlier run of it goes on"))
            return
        self._going[name] = Going(once_more, begun)
        due = clock(run.scheduled, schedule.cron.zone)
        self._say("begun", run, f"due {due}, process {begun.pid}", pid=begun.pid)

    def _note(self, run: Run) -> None:
        with self._trouble.outlived():
            self._schedules.record.begun(run)

    def _see_to_ends(self) -> None:
        for name, going in list(self._going.items()):
            if result := going.child.result():
                del self._going[name]
                self._ended(going.run, result)

    def _ended(self, run: Run, result: Result) -> None:
        cut_off = not result.verdict
        if self._stopping and (cut_off or result.verdict == "interrupted"):
            self._note(replace(run, tries=0))
            self._say("interrupted", run, "goes on when the scheduler is started again")
        elif cut_off and run.tries < TRIES:
            self._waiting[run.schedule] = run
            self._say("cut off", run, f"{result.told}; it is taken up at once")
        elif cut_off:
            told = f"cut off {TRIES} times: {result.told}; launcher status shows what it left"
            self._end(run, Result("failed", told))
        else:
            self._end(run, result)

    def _end(self, run: Run, result: Result) -> None:
        run = replace(run, ended=time.time(), verdict=result.verdict, told=result.told)
        with self._trouble.outlived():
            self._schedules.record.ended(run)
        self._say(run.verdict, run, run.told)

    def _say(self, event: str, run: Run, sentence: str, **facts: object) -> None:
        self._tell(event, run.schedule, sentence, scheduled=run.scheduled.isoformat(), **facts)

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._schedules.scheduler.pause()
            asked = f"; {len(self._going)} that go on are asked to end" if self._going else ""
            self._tell("ending", "", f"no run is begun any more{asked}")
        for going in self._going.values():
            going.child.ask_to_end()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C, SIGTERM and a closed terminal stop it; the end of a child wakes it."""
        enders = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        acts = {n: self._stop for n in enders if signal.getsignal(n) != signal.SIG_IGN}
        acts[signal.SIGCHLD] = lambda: None
        before = {
            number: signal.signal(number, lambda *_, act=act: self._inbox.put(act))
            for number, act in acts.items()
        }
        hook, threading.excepthook = threading.excepthook, self._thread_died
        try:
            yield
        finally:
            threading.excepthook = hook
            for number, handler in before.items():
                signal.signal(number, handler)

    def _thread_died(self, args: threading.ExceptHookArgs) -> None:
        """A scheduler whose clock has died must not look alive."""

        def fail() -> None:
            raise args.exc_value

        self._inbox.put(fail)
