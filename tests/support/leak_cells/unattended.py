"""Cells whose launcher is killed and does not come back: the machine must delete itself."""

import time
from pathlib import Path

from fake_gce import FakeGce

from leak_cells.cell import Cell, CellRun
from leak_cells.fork_server import ForkServer
from leak_cells.job_run import Outcome
from leak_cells.steps import AFTER, BEFORE, STEPS

MINUTES = 5  # the time limit of the machine
SPEED = 20  # the fake's clock runs so many times as fast
MARGIN = 20  # seconds of that clock, one of ours, in which the fake creates and deletes it
KILLED_AT = [
    ("instances.insert", BEFORE),
    ("instances.insert", AFTER),
    ("machine ready", AFTER),
    ("phase begun train", AFTER),
    ("machine deleting", AFTER),
]


class Unattended(Cell):
    """A cell whose launcher does not come back."""

    @property
    def name(self) -> str:
        """One line, for people and patterns."""
        return f"unattended: {self.step.name}"


UNATTENDED = [  # next() fails where no step has that name
    Unattended(next(s for s in STEPS if (s.what, s.moment) == wanted), "SIGKILL", reaps=False)
    for wanted in KILLED_AT
]


def run_unattended(cell: Unattended, folder: Path, forks: ForkServer, reference: Path) -> Outcome:
    """Kill the launcher, wait until the machine deletes itself (`outcome.lived`), and resume the
    job afterwards."""
    run, outcome = CellRun(cell, folder, forks, reference), Outcome(cell)
    began = time.monotonic()
    with run.cloud(clock_speed=SPEED) as gce:
        run.run_with_fault(outcome, f"--set=machine.max_run_minutes={MINUTES}")
        requested = _insert_time(gce)
        bound = MINUTES * 60 + MARGIN
        while (gce.instances or gce.disks) and (time.time() - requested) * SPEED < 2 * bound:
            time.sleep(0.02)
        outcome.lived = (time.time() - requested) * SPEED
        if outcome.lived > bound:
            outcome.left += run.left()
            outcome.wrong.append(f"a machine of {MINUTES} min lived for {outcome.lived / 60:.1f}")
        run.run_command(outcome, "resume")
        outcome.left += run.left()
    run.check(outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


def _insert_time(gce: FakeGce) -> float:
    """When the insert request arrived; waits for one that is under way."""
    deadline = time.monotonic() + 10
    while not gce.operations and time.monotonic() < deadline:
        time.sleep(0.01)
    return gce.asked("instances.insert")[0].at
