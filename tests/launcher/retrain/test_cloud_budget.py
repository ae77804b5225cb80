"""The month's budget on Google Compute Engine."""

import json
from pathlib import Path

import pytest
from fake_gce import FakeGce, missing_tools
from workspace import QUICKSTART, Workspace

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())


def test_over_budget_creates_no_machine_and_no_job(here):
    """A run whose cap exceeds the month's budget ends with exit code 5, both amounts and a hint; no
    machine is requested, and no job is created."""
    with FakeGce(here / "gce") as gce:
        arguments = ("--backend=gce", "--set=retrain.max_usd_per_month=0.5", "--json")
        code, out, err = Workspace(here, gce.environment).run(
            "retrain", str(QUICKSTART), *arguments
        )
        inserts = gce.asked("instances.insert")
    done = json.loads(out)
    assert (code, done["verdict"], inserts) == (5, "over budget", []), err
    assert "a retraining may cost" in done["error"] and "0.50 USD" in done["error"]
    assert "retrain.max_usd_per_month" in done["hint"]
    assert done["job"] == "" and not Path("runs").exists()
