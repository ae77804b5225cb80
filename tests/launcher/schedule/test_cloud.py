"""Schedules whose retrainings rent: the real scheduler, launcher and client; a fake cloud."""

import contextlib
import json
import sys

import pytest
from cloud_office import RENTED, all_due_at_once
from fake_gce import FOR_EVER, FakeGce, missing_tools
from office import SCHEDULE_RUN

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())


@pytest.fixture
def cloud(tmp_path_factory, office):
    """Opens a Compute Engine that the office rents in; in the end nothing is left in it."""
    with contextlib.ExitStack() as stack:
        opened = []

        def cloud(python=sys.executable, **choices):
            folder = tmp_path_factory.mktemp("gce")
            gce = stack.enter_context(FakeGce(folder, vm_environment={"PYTHON": python}, **choices))
            office.environment |= gce.environment
            opened.append(gce)
            return gce

        yield cloud
        assert [(gce.instances, gce.disks, gce.violations) for gce in opened] == [({}, {}, [])]


def runs(office):
    """What the history of the model words has."""
    return json.loads(office.run("history", "words", "--json")[1])["runs"]


def test_a_stockout_at_the_scheduled_hour_is_told_and_the_next_hour_serves(office, cloud):
    """Where no zone has room when a run is due, it fails, says so and costs as good as
    nothing (the seconds until a zone refuses are counted); the next that is due finds room."""
    gce = cloud()
    gce.faults.add("insert", "stockout", times=FOR_EVER)
    office.schedule("words", text=RENTED)
    office.let_be_due("words")
    scheduler = office.start_command(*SCHEDULE_RUN)
    told = office.until_told("failed", "words")["told"]
    assert "no room" in told and "us-west1-b" in told
    gce.faults.clear()
    office.let_be_due("words")
    office.wait(lambda: gce.instances, "a machine")
    assert office.end(scheduler) == 0
    refused, begun = runs(office)
    assert (refused["verdict"], refused["error"], refused["exit_code"]) == ("failed", told, 3)
    assert refused["cost_usd"] < 0.01 < begun["cap_usd"]
    assert (begun["run"], begun["verdict"]) == (2, "")  # Ctrl-C stopped it; it goes on another time


def test_models_due_at_one_moment_rent_no_more_than_is_allowed(office, cloud):
    """Of six models that are due at one moment never more than two have machines at once; here none
    of them works, and each is given back. benchmarks/schedule_cloud.py trains fifty."""
    met = all_due_at_once(office, cloud(python="/bin/false"), models=6, max_parallel=2)
    assert set(met.verdicts.values()) == {"failed"}, met
    assert (met.at_once, met.rented, met.left) == (2, 6, 0)


def test_a_job_that_runs_over_its_cap_is_ended_and_told(office, cloud):
    """A training that is longer than its machine may live fails with that reason; the machine is
    gone, and what it cost is within the cap."""
    cloud(clock_speed=20)
    endless = RENTED.replace("steps = 40", "steps = 1_000_000")
    office.schedule("words", text=f"machine.max_run_minutes = 1\n{endless}")
    office.let_be_due("words")
    scheduler = office.start_command(*SCHEDULE_RUN)
    told = office.until_told("failed", "words")["told"]
    assert told == "the machine time of the plan, 1 min, is used up"
    assert office.end(scheduler) == 0
    (run,) = runs(office)
    assert (run["verdict"], run["error"]) == ("failed", told)
    assert 0 < run["cost_usd"] <= run["cap_usd"]
