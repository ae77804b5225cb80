import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from desk import PATIENCE, Desk

from launcher.schedule.cron import checked
from launcher.schedule.store import Schedules, Work, digest

SUPPORT = Path(__file__).parents[2] / "support"
YEARLY = "0 0 1 1 *"  # not due while a test runs, unless the test says so
SCHEDULER = """
import sys
from launcher.schedule import runner
from launcher.schedule.tell import Teller
script, max_parallel = sys.argv[1:]
runner.run((sys.executable, "-I", "-S", script), int(max_parallel), Teller(as_json=True))
"""


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

    def schedule(self, name, cron=YEARLY, timezone="UTC"):
        """Add a schedule with a config of its own, in this process."""
        config = self.folder / f"{name}.toml"
        config.write_text('backend = "local"\nwords.wanted = ["yes"]\ndata.synthetic_clips = 60\n')
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

    def start_scheduler(self, max_parallel=2, script=SUPPORT / "small_retraining.py"):
        """A scheduler that is at work."""
        out = self.folder / f"scheduler-{len(self._started)}"
        command = [sys.executable, "-c", SCHEDULER, str(script), str(max_parallel)]
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


@pytest.fixture
def office(tmp_path, monkeypatch):
    """An office whose store this process sees, too."""
    made = Office(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", made.environment["XDG_STATE_HOME"])
    yield made
    made.clear()
