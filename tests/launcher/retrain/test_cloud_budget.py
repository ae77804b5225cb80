"""A month's budget, where machines are rented."""

import json
from pathlib import Path

import pytest
from desk import QUICKSTART, Desk
from fake_gce import FakeGce, missing_tools

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())


def test_no_machine_is_asked_for_that_might_break_the_budget(here):
    """A run whose cap is more than the month allows ends with exit code 5, both figures and what to
    do; no machine was asked for, and no job was begun."""
    with FakeGce(here / "gce") as gce:
        arguments = ("--backend=gce", "--set=retrain.max_usd_per_month=0.5", "--json")
        code, out, err = Desk(here, gce.environment).run("retrain", str(QUICKSTART), *arguments)
        asked = gce.asked("instances.insert")
    done = json.loads(out)
    assert (code, done["verdict"], asked) == (5, "over budget", []), err
    assert "a retraining may cost" in done["error"] and "0.50 USD" in done["error"]
    assert "retrain.max_usd_per_month" in done["hint"]
    assert done["job"] == "" and not Path("runs").exists()
