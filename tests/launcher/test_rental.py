import signal

import pytest

from launcher import job as jobs
from launcher.errors import MachineOwed
from launcher.ledger import Ledger
from launcher.machine import give_back, labels, orphans, reap, rent


@pytest.fixture
def ledger(tmp_path):
    """The open record of a job that has no machine yet."""
    plan = {"job": "words-1", "max_run_seconds": 60}
    with Ledger.create(tmp_path / "job", plan=plan, uid="ab", pid=1) as opened:
        yield opened


class Stubborn:
    """A backend whose deletions fail `times` times before they work."""

    def __init__(self, backend, times):
        self._backend, self._times = backend, times

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def delete(self, name):
        if self._times:
            self._times -= 1
            raise OSError("the network is down")
        self._backend.delete(name)


def state(ledger):
    return jobs.fold(ledger.records)


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_machine_goes_back_on_every_way_out(ledger, backend, error):
    """Whether the work succeeds, fails or is interrupted, no machine is left and that is proved."""
    try:
        with rent(ledger, backend):
            assert backend.rentals()
            if error:
                raise error
    except BaseException as raised:
        assert type(raised) is error
    assert backend.rentals() == []
    assert state(ledger).rental == "returned"
    assert "is gone" in state(ledger).proof


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_giving_back_outlasts_an_interrupt(ledger, backend, number):
    """Ctrl-C while a machine is deleted waits until it is gone, and then ends the job."""

    class Interrupted(Stubborn):
        def delete(self, name):
            signal.raise_signal(number)
            super().delete(name)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), rent(ledger, Interrupted(backend, 0)):
            pass
    finally:
        signal.signal(signal.SIGTERM, before)
    assert backend.rentals() == []
    assert state(ledger).rental == "returned"


def test_the_intent_is_written_before_the_request(ledger, backend):
    """A launcher that dies while the request is under way has written down what to look for."""

    class Dies:
        attach = backend.attach
        delete = backend.delete
        rentals = backend.rentals

        def create(self, name, *_):
            assert state(ledger).rental == "renting"
            assert state(ledger).machine == name
            raise ConnectionError("no reply")

    with pytest.raises(ConnectionError), rent(ledger, Dies()):
        pass
    assert state(ledger).rental == "returned"


def test_a_machine_that_a_dead_launcher_left_is_taken_up(ledger, backend):
    """A resumed job uses the machine it already has, and gives that back."""
    ledger.append("renting", machine="words-1-ab")
    backend.create("words-1-ab", labels(ledger, state(ledger)), 60).run("touch mark", timeout=10)
    with rent(ledger, backend) as machine:
        assert machine.run("test -e mark", timeout=10).code == 0
    assert backend.rentals() == []


def test_a_deletion_that_was_cut_off_is_finished_first(ledger, backend):
    """A machine that a dying launcher had begun to delete is not worked on again."""
    ledger.append("renting", machine="words-1-ab")
    backend.create("words-1-ab", labels(ledger, state(ledger)), 60).run("touch mark", timeout=10)
    ledger.append("returning")
    with rent(ledger, backend) as machine:
        assert machine.run("test -e mark", timeout=10).code == 1


def test_a_deletion_that_fails_is_owed_and_tried_again(ledger, backend):
    """A machine that cannot be given back stays in the ledger until it is."""
    stubborn = Stubborn(backend, times=1)
    with pytest.raises(MachineOwed, match="network is down"), rent(ledger, stubborn):
        pass
    assert state(ledger).owes
    give_back(ledger, stubborn)
    assert not state(ledger).owes
    assert backend.rentals() == []


def test_reap_leaves_the_machine_of_a_living_job_alone(ledger, backend):
    """While any launcher holds a job's ledger, its machine is not touched."""
    with rent(ledger, backend) as machine:
        assert reap(backend) == ([], [])
        assert machine.run("true", timeout=10).code == 0


def test_reap_gives_back_what_a_dead_launcher_left(ledger, backend):
    """A machine whose job is dead is deleted, and its ledger says so."""
    ledger.append("renting", machine="words-1-ab")
    backend.create("words-1-ab", labels(ledger, state(ledger)), 60)
    ledger.close()
    assert [rental.name for rental in orphans(backend)] == ["words-1-ab"]
    reaped, failures = reap(backend)
    assert ([rental.name for rental in reaped], failures) == (["words-1-ab"], [])
    with Ledger.open(ledger.folder) as opened:
        assert state(opened).rental == "returned"


def test_reap_finds_a_machine_whose_ledger_is_lost(backend):
    """A machine that only its labels remember goes too."""
    backend.create("words-9-zz", {"job": "words-9", "folder": "/no/such/folder"}, 60)
    assert [rental.name for rental in reap(backend)[0]] == ["words-9-zz"]
    assert backend.rentals() == []


def test_reap_goes_on_after_a_failure(backend):
    """One machine that resists does not keep the others."""
    for name in ("a-1-x", "b-1-y"):
        backend.create(name, {"folder": "/no/such/folder"}, 60)
    reaped, failures = reap(Stubborn(backend, times=1))
    assert len(reaped) == 1
    assert failures == ["a-1-x: the network is down"]
