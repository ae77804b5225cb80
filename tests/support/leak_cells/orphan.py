"""The client is gone for good: nobody comes, and the machine ends by itself."""

import sys
import time
from pathlib import Path

from fake_gce import FakeGce

from leak_cells.cell import Cell, Outcome, Scene
from leak_cells.nursery import Nursery
from leak_cells.steps import AFTER, BEFORE, STEPS

MINUTES = 5  # that the plan gives the machine
SPEED = 20  # times as fast as ours runs the cloud's clock
SPARE = 20  # seconds of the cloud's time, one of ours, for the fake to make it and to end it
LAST_SIGNS = [
    ("instances.insert", BEFORE),
    ("instances.insert", AFTER),
    ("machine ready", AFTER),
    ("phase train", AFTER),
    ("machine deleting", AFTER),
]
ORPHANS = [
    Cell(step, "SIGKILL", reaps=False)
    for step in STEPS
    if (step.what, step.moment) in LAST_SIGNS and step.number == 1
]


def outlive(cell: Cell, folder: Path, nursery: Nursery, past: Path) -> Outcome:
    """Kill the launcher and wait for the machine's own end; `outcome.lived` says when it came.
    Whoever resumes the job days later still gets it done."""
    scene, outcome = Scene(cell, folder, nursery, past), Outcome(cell)
    began = time.monotonic()
    scene.set()
    environment = {"PYTHON": sys.executable}
    with FakeGce(folder / "gce", vm_environment=environment, clock_speed=SPEED) as gce:
        scene.strike(gce, outcome, f"--set=machine.max_run_minutes={MINUTES}")
        ordered = _order(gce)
        bound = MINUTES * 60 + SPARE
        while (gce.instances or gce.disks) and (time.time() - ordered) * SPEED < 2 * bound:
            time.sleep(0.02)
        outcome.lived = (time.time() - ordered) * SPEED
        if outcome.lived > bound:
            outcome.left += len(gce.instances) + len(gce.disks)
            outcome.wrong.append(f"a machine of {MINUTES} min lived for {outcome.lived / 60:.1f}")
        scene.come("resume", outcome)
        outcome.left += len(gce.instances) + len(gce.disks)
    scene.judge(outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


def _order(gce: FakeGce) -> float:
    """When the machine was asked for, which may not have happened yet: the request is under way."""
    deadline = time.monotonic() + 10
    while not gce.operations and time.monotonic() < deadline:
        time.sleep(0.01)
    return gce.asked("instances.insert")[0].at
