import json
import time

import pytest

from firmware_export import files
from launcher.jobs.ledger import Ledger
from launcher.retrain.history import History


def rented(ledger, seconds):
    """Let the job have had a machine for so long."""
    order = {"machine": "m", "place": "", "request_id": "1", "seconds": seconds}
    with pytest.MonkeyPatch.context() as patch:
        now = time.time()
        patch.setattr(time, "time", lambda: now - seconds)
        ledger.append("renting", **order)
    ledger.append("returned", proof="")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Models and jobs are the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def past():
    """The history of a model named words, held."""
    with History.take("words") as taken:
        yield taken


@pytest.fixture
def job(here):
    """Makes the folder of a finished job with small files in it."""

    def make(name="words-r1", usd_per_hour=0.0, seconds=0):
        folder = here / "runs" / name
        plan = {"job": name, "usd_per_hour": usd_per_hour, "cap_usd": 2.0, "backend": "local"}
        with Ledger.create(folder, plan=plan, uid="ab", pid=0) as ledger:
            if seconds:
                rented(ledger, seconds)
            ledger.append("pulled")
            ledger.append("ended", outcome="done")
        names = ("firmware/bluepill.bin", "labels.txt")
        for artefact in names:
            files.write(folder / artefact, f"{artefact} of {name}")
        artefacts = {artefact: files.describe(folder / artefact) for artefact in names}
        files.write(folder / "manifest.json", json.dumps({"artefacts": artefacts}))
        for beside in ("report.json", "report.md"):
            files.write(folder / beside, "{}")
        return folder

    return make
