import pytest

from launcher.jobs.job import fold


def records(*events):
    """Records one second apart, each an event name or (name, facts)."""
    made = []
    for second, event in enumerate(events):
        name, facts = (event, {}) if isinstance(event, str) else event
        made.append({"time": float(second), "event": name, **facts})
    return made


CREATED = ("created", {"plan": {"job": "words-1"}, "uid": "ab", "pid": 1})
RENTING = (
    "renting",
    {"machine": "words-1-ab", "place": "west1-a", "request_id": "1", "seconds": 3.0},
)


@pytest.mark.parametrize(
    ("events", "rental", "owes"),
    [
        ([CREATED], "none", False),
        ([CREATED, RENTING], "renting", True),
        ([CREATED, RENTING, "rented"], "rented", True),
        ([CREATED, RENTING, "rented", "returning"], "returning", True),
        ([CREATED, RENTING, "rented", "returning", ("returned", {"proof": "404"})], "returned", 0),
        ([CREATED, RENTING, ("ended", {"outcome": "failed"})], "renting", True),
    ],
)
def test_what_is_owed_follows_from_the_records(events, rental, owes):
    """A machine is owed from before its request is sent until its absence is proved."""
    job = fold(records(*events))
    assert (job.rental, job.owes) == (rental, bool(owes))


def test_machine_time_adds_up_over_rentals():
    """Time on two machines in turn is counted, and a running one up to now."""
    back = ("returned", {"proof": "gone"})
    job = fold(records(CREATED, RENTING, "rented", back, RENTING, "rented"))
    assert job.rented_seconds == 2.0
    assert job.seconds_rented(now=6.0) == 2.0 + (6.0 - 4.0)


def test_a_machine_that_ended_by_itself_costs_no_more():
    """Time is counted to the end that the order set, however late somebody looks."""
    job = fold(records(CREATED, RENTING, "rented"))
    assert job.seconds_rented(now=1000.0) == 3.0


def test_added_time_raises_the_cap():
    """Minutes granted at a resumption are added to the plan's time and to what it may cost."""
    plan = {"job": "words-1", "max_run_seconds": 3600.0, "usd_per_hour": 0.5, "cap_usd": 0.5}
    granted = ("attached", {"pid": 2, "added_seconds": 1800.0})
    job = fold(records(("created", {"plan": plan, "uid": "ab", "pid": 1}), granted))
    assert (job.plan["max_run_seconds"], job.plan["cap_usd"]) == (5400.0, 0.75)


def test_phases_are_timed_and_remembered():
    """A finished phase is done, and its seconds are kept."""
    job = fold(records(CREATED, ("phase", {"phase": "pull"}), ("phase done", {"phase": "pull"})))
    assert job.done == {"pull"}
    assert job.phase_seconds == {"pull": 1.0}


def test_results_that_are_here_are_not_asked_for_again():
    """Verified results count as pulled, though the launcher died before it said so."""
    assert fold(records(CREATED, ("phase", {"phase": "pull"}), "pulled")).done == {"pull"}


def test_an_unknown_record_is_passed_over():
    """A ledger of a newer launcher can still be read."""
    assert fold(records(CREATED, "telepathy")).name == "words-1"


def test_a_firmware_that_failed_its_proof_is_built_anew():
    """Only a failure of the emulation, not a success or another failure, undoes the build."""
    built = [CREATED, ("phase done", {"phase": "convert"}), ("phase done", {"phase": "firmware"})]
    failed = ("ended", {"outcome": "failed"})
    emulated = [*built, ("phase", {"phase": "emulate"})]
    assert fold(records(*emulated, failed)).done == {"convert"}
    assert fold(records(*emulated, ("ended", {"outcome": "done"}))).done == {"convert", "firmware"}
    assert fold(records(*built, failed)).done == {"convert", "firmware"}
