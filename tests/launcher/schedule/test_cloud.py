"""Schedules whose retrainings create machines: real scheduler, launcher and client; fake cloud."""

import contextlib
import json
import sys

import pytest
from cloud_schedules import GCE_CONFIG, retrain_all_at_once
from fake_gce import FOR_EVER, FakeGce, missing_tools
from schedule_workspace import SCHEDULE_RUN

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())


@pytest.fixture
def cloud(tmp_path_factory, workspace):
    """A function that starts a fake Compute Engine; nothing may be left in it at the end."""
    with contextlib.ExitStack() as stack:
        opened = []

        def cloud(python=sys.executable, **choices):
            folder = tmp_path_factory.mktemp("gce")
            gce = stack.enter_context(FakeGce(folder, vm_environment={"PYTHON": python}, **choices))
            workspace.environment |= gce.environment
            opened.append(gce)
            return gce

        yield cloud
        assert [(gce.instances, gce.disks, gce.violations) for gce in opened] == [({}, {}, [])]


def runs(workspace):
    """The runs in the history of the model words."""
    return json.loads(workspace.run("history", "words", "--json")[1])["runs"]


def test_stockout_fails_the_run_and_the_next_run_finds_a_machine(workspace, cloud):
    """If no zone has room, the run fails with that reason and costs almost nothing; the next run
    that is due finds room."""
    gce = cloud()
    gce.faults.add("insert", "stockout", times=FOR_EVER)
    workspace.add_schedule("words", text=GCE_CONFIG)
    workspace.make_due("words")
    scheduler = workspace.start_command(*SCHEDULE_RUN)
    message = workspace.wait_for_event("failed", "words")["message"]
    assert "no zone has a machine free" in message and "us-west1-b" in message
    gce.faults.clear()
    workspace.make_due("words")
    workspace.wait(lambda: gce.instances, "a machine")
    assert workspace.stop(scheduler) == 0
    failed, second = runs(workspace)
    assert (failed["verdict"], failed["error"], failed["exit_code"]) == ("failed", message, 3)
    assert failed["cost_usd"] < 0.01 < second["cap_usd"]
    assert (second["run"], second["verdict"]) == (2, None)  # the stop interrupted it


def test_max_parallel_bounds_machines_of_models_due_at_one_moment(workspace, cloud):
    """Of six models that are due at one moment, never more than two have machines at once. Here no
    machine works, and each is deleted. benchmarks/schedule_cloud.py trains fifty."""
    result = retrain_all_at_once(workspace, cloud(python="/bin/false"), models=6, max_parallel=2)
    assert set(result.verdicts.values()) == {"failed"}, result
    assert (result.at_once, result.created, result.left) == (2, 6, 0)


def test_job_over_its_time_cap_is_ended_and_reported(workspace, cloud):
    """A training that takes longer than its machine may live fails with that reason; the machine is
    deleted, and its cost is within the cap."""
    cloud(clock_speed=20)
    endless = GCE_CONFIG.replace("steps = 40", "steps = 1_000_000")
    workspace.add_schedule("words", text=f"machine.max_run_minutes = 1\n{endless}")
    workspace.make_due("words")
    scheduler = workspace.start_command(*SCHEDULE_RUN)
    message = workspace.wait_for_event("failed", "words")["message"]
    assert message == "the plan's machine time, 1 min, is used up"
    assert workspace.stop(scheduler) == 0
    (run,) = runs(workspace)
    assert (run["verdict"], run["error"]) == ("failed", message)
    assert 0 < run["cost_usd"] <= run["cap_usd"]
