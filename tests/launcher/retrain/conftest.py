import json
import time

import pytest

from firmware_export import files
from launcher.jobs.events import (
    Created,
    Ended,
    MachineDeleted,
    MachineRequested,
    ResultsPulled,
)
from launcher.jobs.ledger import Ledger
from launcher.jobs.plan import Plan
from launcher.jobs.states import Outcome
from launcher.machines.base import MachinePlan
from launcher.retrain.history import History


def use_machine(ledger, seconds):
    """Record that the job had a machine for so many seconds."""
    with pytest.MonkeyPatch.context() as patch:
        now = time.time()
        patch.setattr(time, "time", lambda: now - seconds)
        ledger.add(MachineRequested("m", "", "1", seconds))
    ledger.add(MachineDeleted(""))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working directory for the models and jobs of one test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def past():
    """The locked history of a model named words."""
    with History.lock("words") as history:
        yield history


@pytest.fixture
def job(here):
    """A function that makes the folder of a finished job with small files."""

    def make(name="words-r1", usd_per_hour=0.0, seconds=0):
        folder = here / "runs" / name
        machine = MachinePlan("local", [""], usd_per_hour, "a price", metered=False)
        plan = Plan(name, machine, cap_usd=2.0)
        with Ledger.create(folder, Created(plan, uid="ab", pid=0)) as ledger:
            if seconds:
                use_machine(ledger, seconds)
            ledger.add(ResultsPulled())
            ledger.add(Ended(Outcome.DONE))
        names = ("firmware/bluepill.bin", "labels.txt")
        for artefact in names:
            files.write(folder / artefact, f"{artefact} of {name}")
        artefacts = {artefact: files.describe(folder / artefact) for artefact in names}
        files.write(folder / "manifest.json", json.dumps({"artefacts": artefacts}))
        for report in ("report.json", "report.md"):
            files.write(folder / report, "{}")
        return folder

    return make
