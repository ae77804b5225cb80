"""Measures a scheduler with 50 schedules: CPU and memory while idle, and how late runs start.

    python benchmarks/schedule.py                 a minute idle, then 20 starts of each kind
    python benchmarks/schedule.py --seconds 10    a shorter time idle

CPU is that of `launcher schedule run` and memory its resident set, while nothing is due. The delay
of a start lasts from the moment a run is due to the first instruction of its process, a script that
logs the time. "changed elsewhere" counts from the end of another process's change that makes a
schedule due at once. Ends with exit code 1 if a goal is missed.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

SCHEDULES = 50
STARTS = 20
MOST_CPU, MOST_MB, MOST_SECONDS, MOST_UNSEEN = 0.01, 80, 2.0, 1.0
SCRIPT = """
import sys, time
with open("starts", "a") as starts:
    starts.write(f"{time.time()} {sys.argv[4]}\\n")
print('{"verdict": "unchanged"}')
"""
RUN = """
import sys
from launcher.schedule import scheduler
from launcher.schedule.events import Events
scheduler.run((sys.executable, "-I", "-S", sys.argv[1]), 2, Events())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="of time idle")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["XDG_STATE_HOME"] = folder
        Path("log_start.py").write_text(SCRIPT)
        Path("words.toml").write_text("")
        for number in range(SCHEDULES):
            _add(f"words-{number}", "0 0 1 1 *")
        cpu, megabytes = idle(options.seconds)
        late, unseen = starts()
    print(f"idle       {cpu:.2%} of a core, {megabytes:.1f} MB, {SCHEDULES} schedules")
    for what, delays in (("due", late), ("changed elsewhere", unseen)):
        print(f"{what:18} median delay {statistics.median(delays):.3f} s, ", end="")
        print(f"longest {max(delays):.3f} s, {len(delays)} starts")
    met = cpu < MOST_CPU and megabytes < MOST_MB
    sys.exit(not (met and max(late) < MOST_SECONDS and max(unseen) < MOST_UNSEEN))


def idle(seconds: float) -> tuple[float, float]:
    """The share of one core, and the resident memory in MB, of a scheduler with nothing to do."""
    command = [sys.executable, "-m", "launcher", "schedule", "run"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as scheduler:
        process = psutil.Process(scheduler.pid)
        time.sleep(5)  # until it has loaded its modules
        started, before = time.monotonic(), sum(process.cpu_times()[:2])
        time.sleep(seconds)
        spent = sum(process.cpu_times()[:2]) - before
        cpu, megabytes = spent / (time.monotonic() - started), process.memory_info().rss / 1e6
        scheduler.send_signal(signal.SIGTERM)
    return cpu, megabytes


def starts() -> tuple[list[float], list[float]]:
    """The delay in seconds of runs that the clock made due, and of those that a change made due."""
    from launcher.schedule.store import Store

    with subprocess.Popen(
        [sys.executable, "-c", RUN, "log_start.py"], stdout=subprocess.DEVNULL
    ) as run:
        time.sleep(3)
        _add("clock", "* * * * * *")
        late = [started - due for started, due in _logged(STARTS)]
        unseen = []
        Store().remove("clock")
        time.sleep(2)
        for number in range(STARTS):
            Path("starts").unlink(missing_ok=True)
            now = datetime.now(UTC)
            Store().change(f"words-{number}", lambda schedule, now=now: replace(schedule, next=now))
            changed = time.time()
            unseen.append(_logged(1)[0][0] - changed)
        run.send_signal(signal.SIGTERM)
    return late, unseen


def _logged(count: int) -> list[tuple[float, float]]:
    """The first `count` starts: when each was, and when it was due, seconds since the epoch."""
    path, deadline = Path("starts"), time.monotonic() + 60
    while not path.exists() or path.read_text().count("\n") < count:
        if time.monotonic() > deadline:
            sys.exit("nothing was started")
        time.sleep(0.01)
    lines = [line.split() for line in path.read_text().splitlines()[:count]]
    return [(float(started), datetime.fromisoformat(due).timestamp()) for started, due in lines]


def _add(name: str, cron: str) -> None:
    from launcher.config.loading import digest
    from launcher.schedule.cron import parse
    from launcher.schedule.store import Store
    from launcher.schedule.target import Target

    target = Target("words.toml", str(Path.cwd()), name, digest(Path("words.toml")))
    Store().add(name, target, parse(cron, "UTC"), replace=False)


if __name__ == "__main__":
    main()
