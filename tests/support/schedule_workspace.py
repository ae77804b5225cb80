"""A folder with schedules, and schedulers that start fake retrainings, for tests and benchmarks."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from workspace import PATIENCE, Workspace

from launcher.config.loading import digest
from launcher.schedule.cron import parse
from launcher.schedule.store import Store
from launcher.schedule.target import Target

# The scheduler as a user starts it, with the tests' Python.
SCHEDULE_RUN = (sys.executable, "-P", "-m", "launcher", "schedule", "run", "--json")
FAKE_RETRAINING = Path(__file__).parent / "fake_retraining.py"
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
from launcher.schedule import scheduler
from launcher.schedule.events import Events
script, max_parallel = sys.argv[1:]
scheduler.run((sys.executable, "-I", "-S", script), int(max_parallel), Events(as_json=True))
"""
# Put before SCHEDULER: its clock is ahead by the seconds in the file `ahead` in its folder.
CLOCK_AHEAD = """
from datetime import datetime, timedelta
from pathlib import Path
from launcher.schedule import scheduler
class Clock(datetime):
    def now(zone=None):
        return datetime.now(zone) + timedelta(seconds=float(Path("ahead").read_text()))
scheduler.datetime = Clock
"""


def without_root_rights():
    """The words before a command that take root's right to read and write everything from it;
    none for other users. Skips the test if they are not allowed."""
    if os.geteuid() != 0:
        return []
    rights = "-dac_override,-dac_read_search"
    words = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]
    if not shutil.which("setpriv") or subprocess.run([*words, "true"]).returncode:
        import pytest

        pytest.skip("root cannot drop its rights here")
    return words


class ScheduleWorkspace(Workspace):
    """A folder with schedules, and schedulers that start fake retrainings instead of real ones."""

    def __init__(self, folder):
        super().__init__(folder)
        self._schedulers = []

    def wait(self, condition, what="it"):
        """With longer pauses than Workspace's: the conditions here take time to evaluate."""

        def after_a_pause():
            time.sleep(0.03)
            return condition()

        return super().wait(after_a_pause, what)

    def add_schedule(self, name, cron=YEARLY, timezone="UTC", text=CONFIG):
        """Add a schedule with a config of its own, in this process. Returns the config."""
        config = self.folder / f"{name}.toml"
        config.write_text(text)
        target = Target(config.name, str(self.folder), name, digest(config))
        Store().add(name, target, parse(cron, timezone), replace=True)
        return config

    def make_due(self, *names, ago=0.0):
        """Set the next time of schedules to one moment, `ago` seconds in the past. Returns it."""
        moment = datetime.now(UTC) - timedelta(seconds=ago)
        for name in names:
            Store().change(name, lambda schedule: replace(schedule, next=moment))
        return moment.isoformat()

    def start_scheduler(self, max_parallel=2, script=FAKE_RETRAINING, code=SCHEDULER, within=()):
        """Start a scheduler that runs `script` for retrainings; `within` is a command before it."""
        options = str(script), str(max_parallel)
        return self.start_command(*within, sys.executable, "-c", code, *options)

    def start_command(self, *command):
        """Start a scheduler by its command, and wait until it is running."""
        out = self.folder / f"scheduler-{len(self._schedulers)}"
        with out.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=file, stderr=file
            )
        self._schedulers.append((process, out))
        self.wait(
            lambda: self.events("scheduler started") or process.poll() is not None, "a scheduler"
        )
        return process

    def events(self, event, schedule=None):
        """Every such event that the newest scheduler printed."""
        lines = self._schedulers[-1][1].read_text().splitlines()
        printed = [json.loads(line) for line in lines if line[:1] == "{" and line[-1:] == "}"]
        return [
            line
            for line in printed
            if line["event"] == event and schedule in (None, line["schedule"])
        ]

    def wait_for_event(self, event, schedule=None, times=1):
        """Wait until the newest scheduler printed so many such events. Returns the last."""

        def enough():
            found = self.events(event, schedule)
            return len(found) >= times and found

        try:
            return self.wait(enough, event)[-1]
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._schedulers[-1][1].read_text()}") from None

    def retrainings(self, what, config=None):
        """The scheduled times of the fake retrainings that wrote `what` into their log."""
        path = self.folder / "retrainings"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [line[2] for line in lines if line[0] == what and config in (None, line[1])]

    def most_at_once(self):
        """The most fake retrainings that ran at the same time."""
        running, most = set(), 0
        for line in (self.folder / "retrainings").read_text().splitlines():
            what, config, *_ = line.split()
            running.add(config) if what == "begin" else running.discard(config)
            most = max(most, len(running))
        return most

    def stop(self, process, number=signal.SIGTERM):
        """Send a scheduler a signal and wait for its end. Returns its exit code."""
        process.send_signal(number)
        return process.wait(timeout=PATIENCE)

    def kill_all(self):
        """Kill every process that a test left."""
        for process, _ in self._schedulers:
            process.kill()
            process.wait()
        for process in psutil.process_iter():
            try:
                if process.cwd() == str(self.folder) and process.pid != os.getpid():
                    process.kill()
            except psutil.Error:
                continue


@dataclass
class KillResult:
    """What happened to runs whose scheduler was killed many times."""

    kills: int
    due: int = 0  # times that were due
    started: int = 0  # of them, those that were not skipped
    at_once: int = 0  # the most runs at the same time
    wrong: list[str] = field(default_factory=list)


def kill_schedulers(workspace, kills, seed, max_parallel=3, schedules=5):
    """Kill a scheduler at random instants, while schedules are due every second and their runs
    last up to 1.5 s. Then let every run end."""
    chance = random.Random(seed)
    names = [f"words-{number}" for number in range(schedules)]
    for name in names:
        config = workspace.add_schedule(name, "* * * * * *")
        config.with_name(f"{config.name}.seconds").write_text(f"{chance.random() * 1.5:.2f}")
    for _ in range(kills):
        scheduler = workspace.start_scheduler(max_parallel)
        time.sleep(chance.random() * 1.5)
        scheduler.kill()
        scheduler.wait()
    scheduler = workspace.start_scheduler(max_parallel)
    store = Store()
    for name in names:
        store.pause(name)
    workspace.wait(lambda: not store.open_runs(), "the end of every run")
    workspace.stop(scheduler)
    return _check_runs(workspace, kills)


def _check_runs(workspace, kills):
    """Every run is skipped, or started once and ended with a verdict."""
    runs = [run for schedule in Store().all() for run in schedule.runs]
    result = KillResult(kills, due=len(runs), started=sum(run.verdict != "skipped" for run in runs))
    known = {(run.schedule, run.scheduled.isoformat()): run.verdict for run in runs}
    for what in ("begin", "end"):
        times = Counter(
            (name, time)
            for name in {run.schedule for run in runs}
            for time in workspace.retrainings(what, f"{name}.toml")
        )
        for key, verdict in known.items():
            expected = 0 if verdict == "skipped" else 1
            if times[key] != expected:
                result.wrong.append(f"{key}, {verdict}: {what} {times[key]} times, not {expected}")
        result.wrong += [f"{key} is not recorded" for key in times.keys() - known.keys()]
    result.at_once = workspace.most_at_once()
    return result
