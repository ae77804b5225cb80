"""A desk with schedules, and schedulers that start small scripts instead of retrainings."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from desk import PATIENCE, Desk

from launcher.config.loading import digest
from launcher.schedule import store
from launcher.schedule.cron import checked
from launcher.schedule.store import Schedules, Work

# The scheduler as a user starts it, with the tests' Python.
SCHEDULE_RUN = (sys.executable, "-P", "-m", "launcher", "schedule", "run", "--json")
SMALL = Path(__file__).parent / "small_retraining.py"
YEARLY = "0 0 1 1 *"  # not due while a test runs, unless the test says so
CONFIG = """\
backend = "local"
words.wanted = ["yes", "no"]
data.synthetic_clips = 60
machine.recipe = "python"
[train]  # the shortest training that has every part
how_many_training_steps = 40
learning_rate = 0.001
eval_step_interval = 20
"""
SCHEDULER = """
import sys
from launcher.schedule import runner
from launcher.schedule.tell import Teller
script, max_parallel = sys.argv[1:]
runner.run((sys.executable, "-I", "-S", script), int(max_parallel), Teller(as_json=True))
"""


# A scheduler whose clock is ahead by as many seconds as the file `ahead` in its folder says.
CLOCK_AHEAD = """
from datetime import datetime, timedelta
from pathlib import Path
from apscheduler.schedulers import base
class Clock:
    def now(zone=None):
        return datetime.now(zone) + timedelta(seconds=float(Path("ahead").read_text()))
base.datetime = Clock
"""


def ordinary():
    """The words before a command that take root's right to read and write everything from it;
    none where nobody is root. Skips the test where they are not allowed."""
    if os.geteuid() != 0:
        return []
    rights = "-dac_override,-dac_read_search"
    words = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]
    if not shutil.which("setpriv") or subprocess.run([*words, "true"]).returncode:
        import pytest

        pytest.skip("root cannot do without its rights here")
    return words


class Office(Desk):
    """A desk with schedules: their store, and schedulers that start small processes of their own
    instead of retrainings."""

    def __init__(self, folder):
        super().__init__(folder)
        self._started = []

    def wait(self, condition, what="it"):
        """With longer pauses: what is waited for here takes time to read."""

        def slowly():
            time.sleep(0.03)
            return condition()

        return super().wait(slowly, what)

    def schedule(self, name, cron=YEARLY, timezone="UTC", text=CONFIG):
        """Add a schedule with a config of its own, in this process."""
        config = self.folder / f"{name}.toml"
        config.write_text(text)
        work = Work(config.name, str(self.folder), name, digest(config))
        with Schedules() as schedules:
            schedules.add(name, work, checked(cron, timezone), replace=True)
        return config

    def let_be_due(self, *names, ago=0.0):
        """Schedules become due at one moment; which that was."""
        moment = datetime.now(UTC) - timedelta(seconds=ago)
        with Schedules() as schedules:
            for name in names:
                schedules.scheduler.modify_job(name, next_run_time=moment)
        return moment.isoformat()

    def start_scheduler(self, max_parallel=2, script=SMALL, code=SCHEDULER, within=()):
        """A scheduler that is at work, with a script for retrainings; `within` another command."""
        options = str(script), str(max_parallel)
        return self.start_command(*within, sys.executable, "-c", code, *options)

    def start_command(self, *command):
        """A scheduler that is at work, started by a command of one's own."""
        out = self.folder / f"scheduler-{len(self._started)}"
        with out.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=file, stderr=file
            )
        self._started.append((process, out))
        self.wait(lambda: self.told("started") or process.poll() is not None, "a scheduler")
        return process

    def told(self, event, schedule=None):
        """What the newest scheduler said about such an event."""
        lines = self._started[-1][1].read_text().splitlines()
        said = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [
            line for line in said if line["event"] == event and schedule in (None, line["schedule"])
        ]

    def until_told(self, event, schedule=None, times=1):
        """Wait until the newest scheduler said so; the last line."""

        def enough():
            found = self.told(event, schedule)
            return len(found) >= times and found

        try:
            return self.wait(enough, event)[-1]
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._started[-1][1].read_text()}") from None

    def events(self, what, config=None):
        """The scheduled times of the small retrainings that noted `what`."""
        path = self.folder / "events"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [line[2] for line in lines if line[0] == what and config in (None, line[1])]

    def end(self, process, number=signal.SIGTERM):
        """End a scheduler as `number` does; its exit code."""
        process.send_signal(number)
        return process.wait(timeout=PATIENCE)

    def clear(self):
        """Kill what a test left."""
        for process, _ in self._started:
            process.kill()
            process.wait()
        for process in psutil.process_iter():
            try:
                if process.cwd() == str(self.folder) and process.pid != os.getpid():
                    process.kill()
            except psutil.Error:
                continue


@dataclass
class Struck:
    """What came of schedules whose scheduler was killed again and again."""

    kills: int
    due: int = 0  # times that were due
    begun: int = 0  # of them, those that were not skipped
    at_once: int = 0  # runs that went on beside each other at most
    wrong: list[str] = field(default_factory=list)


def strike(office, kills, seed, max_parallel=3, schedules=5):
    """Kill a scheduler at random instants, while schedules are due every second and their runs
    last up to 1.5 s; then let everything come to its end. What came of it."""
    chance = random.Random(seed)
    names = [f"words-{number}" for number in range(schedules)]
    for name in names:
        config = office.schedule(name, "* * * * * *")
        config.with_name(f"{config.name}.seconds").write_text(f"{chance.random() * 1.5:.2f}")
    for _ in range(kills):
        scheduler = office.start_scheduler(max_parallel)
        time.sleep(chance.random() * 1.5)
        scheduler.kill()
        scheduler.wait()
    scheduler = office.start_scheduler(max_parallel)
    with Schedules() as opened:
        for name in names:
            opened.pause(name)
        office.wait(lambda: not opened.record.open(), "the end of every run")
    office.end(scheduler)
    return _came_of(office, kills)


def _came_of(office, kills):
    """Every time that was due is skipped, or begun once and ended with a verdict."""
    with sqlite3.connect(store.path()) as connection:
        rows = connection.execute("SELECT schedule, scheduled, verdict FROM runs").fetchall()
    struck = Struck(kills, due=len(rows), begun=sum(row[2] != "skipped" for row in rows))
    for what in ("begin", "end"):
        times = Counter(
            (row[0], time)
            for row in {row[:1] for row in rows}
            for time in office.events(what, f"{row[0]}.toml")
        )
        for schedule, scheduled, verdict in rows:
            expected = 0 if verdict == "skipped" else 1
            if times[schedule, scheduled] != expected:
                struck.wrong.append(
                    f"{schedule} {scheduled}, {verdict}: {what} not {expected} time"
                )
        struck.wrong += [f"{key} is not recorded" for key in times.keys() - {r[:2] for r in rows}]
    going = set()
    for line in (office.folder / "events").read_text().splitlines():
        what, config, *_ = line.split()
        going.add(config) if what == "begin" else going.discard(config)
        struck.at_once = max(struck.at_once, len(going))
    return struck
