from dataclasses import asdict

import pytest

from launcher.errors import UsageError
from launcher.jobs.events import (
    Created,
    Ended,
    MachineDeleted,
    MachineDeleting,
    MachineReady,
    MachineRequested,
    PhaseBegun,
    PhaseDone,
    ResultsPulled,
    Resumed,
)
from launcher.jobs.job import fold
from launcher.jobs.plan import Plan
from launcher.jobs.records import name_of
from launcher.jobs.states import Outcome, Phase
from launcher.machines.base import MachinePlan

CREATED = Created(Plan("words-1"), uid="ab", pid=1)
REQUESTED = MachineRequested("words-1-ab", "west1-a", "1", 3)
READY, DELETING, DELETED = MachineReady(), MachineDeleting(), MachineDeleted("404")


def records(*events):
    """Records one second apart, of these events."""
    return [
        {"time": float(second), "event": name_of(type(event)), **asdict(event)}
        for second, event in enumerate(events)
    ]


@pytest.mark.parametrize(
    ("events", "lease", "is_open"),
    [
        ([CREATED], "none", False),
        ([CREATED, REQUESTED], "requested", True),
        ([CREATED, REQUESTED, READY], "active", True),
        ([CREATED, REQUESTED, READY, DELETING], "deleting", True),
        ([CREATED, REQUESTED, READY, DELETING, DELETED], "closed", False),
        ([CREATED, REQUESTED, Ended(Outcome.FAILED)], "requested", True),
    ],
)
def test_lease_is_open_from_request_to_proof_of_deletion(events, lease, is_open):
    """A lease is open from before the request is sent until the machine's absence is proved."""
    job = fold(records(*events))
    assert (job.lease, job.lease_open) == (lease, is_open)


def test_machine_time_adds_up_over_machines():
    """Time on two machines in turn is counted, and a running one up to now."""
    job = fold(records(CREATED, REQUESTED, READY, DELETED, REQUESTED, READY))
    assert job.machine_seconds == 2.0
    assert job.machine_seconds_used(now=6.0) == 2.0 + (6.0 - 4.0)


def test_machine_time_ends_when_the_machine_deletes_itself():
    """Time is counted to the end that the request set, however late somebody looks."""
    job = fold(records(CREATED, REQUESTED, READY))
    assert job.machine_seconds_used(now=1000.0) == 3.0


def test_added_minutes_raise_the_cap():
    """Minutes added by resume extend the plan's time and what it may cost."""
    machine = MachinePlan("gce", ["west1-a"], 0.5, "a price")
    plan = Plan("words-1", machine, max_run_seconds=3600.0, cap_usd=0.5)
    job = fold(records(Created(plan, "ab", 1), Resumed(2, added_seconds=1800.0)))
    assert (job.plan.max_run_seconds, job.plan.cap_usd) == (5400.0, 0.75)


def test_finished_phases_are_timed():
    """A finished phase is done, and its seconds are kept."""
    job = fold(records(CREATED, PhaseBegun(Phase.PULL), PhaseDone(Phase.PULL)))
    assert job.done == {Phase.PULL}
    assert job.phase_seconds == {Phase.PULL: 1.0}


def test_pulled_results_end_the_pull_phase():
    """Verified results count as pulled, though the launcher died before it said so."""
    pulled = fold(records(CREATED, PhaseBegun(Phase.PULL), ResultsPulled()))
    assert pulled.done == {Phase.PULL}


def test_unknown_event_of_a_newer_launcher_is_passed_over():
    """A ledger with an event that this launcher does not know can still be read."""
    assert fold([*records(CREATED), {"time": 1.0, "event": "telepathy"}]).name == "words-1"


def test_ledger_of_another_format_is_refused_in_one_sentence():
    """A ledger whose events had other names is refused, with its file and both formats."""
    old = {"time": 1.0, "event": "created", "plan": {"job": "words-1"}, "uid": "ab", "pid": 1}
    with pytest.raises(UsageError, match="runs/x: format 1 is not supported; .* reads format 2"):
        fold([old], "runs/x")


def test_damaged_event_is_refused_with_its_line():
    """An event without what it must say is refused, with its file and line."""
    damaged = {"time": 1.0, "event": "phase begun", "phase": "dance"}
    with pytest.raises(UsageError, match="runs/x, line 2: damaged"):
        fold([*records(CREATED), damaged], "runs/x")


def test_failed_proof_undoes_the_build():
    """Only a failure of the proof, not a success or another failure, undoes the build."""
    built = [CREATED, PhaseDone(Phase.CONVERT), PhaseDone(Phase.BUILD)]
    proving = [*built, PhaseBegun(Phase.PROVE)]
    failed, done = Ended(Outcome.FAILED), Ended(Outcome.DONE)
    assert fold(records(*proving, failed)).done == {Phase.CONVERT}
    assert fold(records(*proving, done)).done == {Phase.CONVERT, Phase.BUILD}
    assert fold(records(*built, failed)).done == {Phase.CONVERT, Phase.BUILD}
