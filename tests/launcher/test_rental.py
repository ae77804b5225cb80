import signal

import pytest

from launcher.console import Silent
from launcher.errors import CloudRefused, Detached, JobFailed, MachineNotDeleted, NoCapacity
from launcher.jobs.context import JobContext
from launcher.jobs.events import Created, Ended, MachineDeleting, MachineRequested
from launcher.jobs.lease import delete_machine, leased_machine, reap, spec_of
from launcher.jobs.ledger import Ledger
from launcher.jobs.states import Outcome
from launcher.machines.base import MachinePlan

# What is the launcher's part of a rental is the same on every backend; this one is quick.
pytestmark = pytest.mark.parametrize("backend", ["local"], indirect=True)


@pytest.fixture
def ledger(tmp_path, plan):
    """The open record of a job that has no machine yet."""
    with Ledger.create(tmp_path / "job", Created(plan(), uid="ab", pid=1)) as opened:
        yield opened


class Stubborn:
    """A backend whose deletions fail `times` times before they work."""

    def __init__(self, backend, times):
        self._backend, self._times = backend, times

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def delete(self, name, zone):
        if self._times:
            self._times -= 1
            raise OSError("the network is down")
        return self._backend.delete(name, zone)


def state(ledger):
    return ledger.job


def leased(ledger, backend):
    """The machine of the job, as the pipeline has it."""
    return leased_machine(JobContext(ledger, backend, Silent()))


def intend(ledger, seconds=60):
    """What a launcher writes down before it orders a machine."""
    ledger.add(MachineRequested("words-1-ab", "", "1", seconds))


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_machine_goes_back_on_every_way_out(ledger, backend, error):
    """Whether the work succeeds, fails or is interrupted, no machine is left and that is proved."""
    try:
        with leased(ledger, backend):
            assert backend.list_machines()
            if error:
                raise error
    except BaseException as raised:
        assert type(raised) is error
    assert backend.list_machines() == []
    assert state(ledger).lease == "closed"
    assert "is gone" in state(ledger).proof


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_giving_back_outlasts_an_interrupt(ledger, backend, number):
    """Ctrl-C while a machine is deleted waits until it is gone, and then ends the job."""

    class Interrupted(Stubborn):
        def delete(self, name, zone):
            signal.raise_signal(number)
            return super().delete(name, zone)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), leased(ledger, Interrupted(backend, 0)):
            pass
    finally:
        signal.signal(signal.SIGTERM, before)
    assert backend.list_machines() == []
    assert state(ledger).lease == "closed"


def test_the_intent_is_written_before_the_request(ledger, backend):
    """A launcher that dies while the request is under way has written down what to look for."""

    class Dies:
        connect = backend.connect
        delete = backend.delete
        rentals = backend.list_machines

        def create(self, spec):
            assert state(ledger).lease == "requested"
            assert state(ledger).machine == spec.name
            assert state(ledger).request_id == spec.request_id
            raise ConnectionError("no reply")

    with pytest.raises(ConnectionError), leased(ledger, Dies()):
        pass
    assert state(ledger).lease == "closed"


def test_a_machine_that_a_dead_launcher_left_is_taken_up(ledger, backend):
    """A resumed job uses the machine it already has, and gives that back."""
    intend(ledger)
    backend.create(spec_of(ledger)).run("touch mark", timeout=10)
    with leased(ledger, backend) as machine:
        assert machine.run("test -e mark", timeout=10).code == 0
    assert backend.list_machines() == []


def test_a_deletion_that_was_cut_off_is_finished_first(ledger, backend):
    """A machine that a dying launcher had begun to delete is not worked on again."""
    intend(ledger)
    backend.create(spec_of(ledger)).run("touch mark", timeout=10)
    ledger.add(MachineDeleting())
    with leased(ledger, backend) as machine:
        assert machine.run("test -e mark", timeout=10).code == 1


def test_a_deletion_that_fails_is_owed_and_tried_again(ledger, backend):
    """A machine that cannot be given back stays in the ledger until it is."""
    stubborn = Stubborn(backend, times=1)
    with pytest.raises(MachineNotDeleted, match="network is down"), leased(ledger, stubborn):
        pass
    assert state(ledger).lease_open
    delete_machine(ledger, stubborn)
    assert not state(ledger).lease_open
    assert backend.list_machines() == []


def test_reap_leaves_the_machine_of_a_living_job_alone(ledger, backend):
    """While any launcher holds a job's ledger, its machine is not touched."""
    with leased(ledger, backend) as machine:
        assert reap(backend) == ([], [])
        assert machine.run("true", timeout=10).code == 0


def test_reap_gives_back_what_a_dead_launcher_left(ledger, backend):
    """A machine whose job is dead is deleted, and its ledger says so."""
    intend(ledger)
    backend.create(spec_of(ledger))
    ledger.close()
    reaped, failures = reap(backend)
    assert ([rental.name for rental in reaped], failures) == (["words-1-ab"], [])
    with Ledger.open(ledger.folder) as opened:
        assert state(opened).lease == "closed"


def test_reap_finds_a_machine_whose_ledger_is_lost(backend, spec):
    """A machine that only its labels remember goes too."""
    backend.create(spec("words-9-zz"))
    assert [rental.name for rental in reap(backend)[0]] == ["words-9-zz"]
    assert backend.list_machines() == []


def test_reap_goes_on_after_a_failure(backend, spec):
    """One machine that resists does not keep the others."""
    for name in ("a-1-x", "b-1-y"):
        backend.create(spec(name))
    reaped, failures = reap(Stubborn(backend, times=1))
    assert len(reaped) == 1
    assert failures == ["a-1-x: the network is down"]


class Crowded:
    """A backend with zones, of which some have no machine to give."""

    def __init__(self, backend, refusals):
        self._backend, self._refusals, self.asked = backend, refusals, []

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def create(self, spec):
        self.asked.append(spec.zone)
        if spec.zone in self._refusals:
            raise self._refusals[spec.zone]
        return self._backend.create(spec)


ZONES = ["west1-a", "west1-b", "east1-a", "east1-b"]


@pytest.mark.parametrize(
    ("refusals", "asked"),
    [
        ({}, ["west1-a"]),
        ({"west1-a": NoCapacity("full")}, ["west1-a", "west1-b"]),
        ({"west1-a": NoCapacity("full", elsewhere=("east1-b", "mars1-a"))}, ["west1-a", "east1-b"]),
        ({"west1-a": NoCapacity("quota", region="west1")}, ["west1-a", "east1-a"]),
        (
            {
                "west1-a": NoCapacity("full", elsewhere=("east1-b",)),
                "east1-b": NoCapacity("full", elsewhere=("west1-a",)),
            },
            ["west1-a", "east1-b", "west1-b"],
        ),
    ],
    ids=["room", "next", "named by the refusal", "region out", "never twice"],
)
def test_a_place_without_room_makes_way_for_another(tmp_path, backend, plan, refusals, asked):
    """After a stockout the zones that the refusal names come first, then the other allowed ones;
    after a quota nothing else in that region is tried."""
    crowded = Crowded(backend, refusals)
    made = plan(machine=MachinePlan("local", ZONES, 0.0, "no cost"))
    with Ledger.create(tmp_path / "job", Created(made, uid="ab", pid=1)) as ledger:
        with leased(ledger, crowded):
            assert state(ledger).zone == asked[-1]
            assert len(backend.list_machines()) == 1
        assert crowded.asked == asked
        assert not state(ledger).lease_open


def test_no_room_anywhere_names_all_places_and_leaves_nothing(tmp_path, backend, plan):
    """Stockout everywhere is the cloud's refusal, with every zone that was tried."""
    crowded = Crowded(backend, {zone: NoCapacity("full") for zone in ZONES})
    made = plan(machine=MachinePlan("local", ZONES, 0.0, "no cost"))
    with (
        Ledger.create(tmp_path / "job", Created(made, uid="ab", pid=1)) as ledger,
        pytest.raises(CloudRefused, match="west1-a, west1-b, east1-a, east1-b") as refused,
        leased(ledger, crowded),
    ):
        pass
    assert refused.value.exit_code == 3
    assert backend.list_machines() == []
    assert not state(ledger).lease_open


def test_time_is_shared_by_all_machines_of_a_job(tmp_path, backend, plan):
    """A replacement may run only as long as the plan's time has left, and none is rented when
    that is used up."""
    machine = MachinePlan("gce", ["west1-a"], 0.5, "a price")
    made = plan(machine=machine, max_run_seconds=3600)
    with Ledger.create(tmp_path / "job", Created(made, uid="ab", pid=1)) as ledger:
        with leased(ledger, backend):
            assert state(ledger).machine_bound == 3600
        intend(ledger, seconds=3600)
        ledger.records[-1]["time"] -= 1800  # half an hour ago
        with leased(ledger, backend):
            assert state(ledger).machine_bound == pytest.approx(1800, abs=5)
        intend(ledger, seconds=3600)
        ledger.records[-1]["time"] -= 1790
        with pytest.raises(JobFailed, match="60 min, is used up"), leased(ledger, backend):
            pass


def test_a_detached_job_keeps_its_machine(ledger, backend):
    """A machine that was left at work is not given back, nor reaped while it may run."""
    with pytest.raises(Detached), leased(ledger, backend):
        raise Detached
    ledger.add(Ended(Outcome.DETACHED))
    ledger.close()
    assert reap(backend) == ([], [])
    assert len(backend.list_machines()) == 1


def test_a_detached_machine_past_its_end_is_reaped(ledger, backend):
    """A detached machine that should have ended by itself long ago is no longer spared."""
    intend(ledger)
    backend.create(spec_of(ledger))
    ledger.add(Ended(Outcome.DETACHED))
    ledger.close()
    path = ledger.folder / "ledger.jsonl"
    path.write_text(path.read_text().replace('"seconds": 60', '"seconds": -1'))
    assert len(reap(backend)[0]) == 1


def test_a_colleagues_machine_is_left_alone(backend, spec):
    """A machine that another computer ordered goes only where that is asked for."""
    backend.create(spec(owner="somebody else"))
    assert reap(backend) == ([], [])
    assert len(reap(backend, everybody=True)[0]) == 1


def test_the_key_of_a_machine_goes_with_it(ledger, backend):
    """A job's SSH key is not kept longer than a machine that knows it."""
    with leased(ledger, backend):
        (ledger.folder / "ssh_key").write_text("secret")
    assert not (ledger.folder / "ssh_key").exists()


def test_an_order_that_was_never_answered_is_asked_for_again(ledger, backend):
    """A request that a dying launcher had sent may still become a machine: the same request finds
    it, where looking for it would not."""
    intend(ledger)

    class Late:
        """The machine is seen only once it is asked for again."""

        delete = backend.delete
        create = backend.create

        def connect(self, spec):
            return None

    with leased(ledger, Late()):
        assert [record["event"] for record in ledger.records].count("machine requested") == 1
        assert state(ledger).lease == "active"


def test_whatever_a_deletion_ends_with_is_owed(ledger, backend):
    """An error that nobody thought of is no reason to believe that the machine is gone."""

    class Broken(Stubborn):
        def delete(self, name, zone):
            raise ZeroDivisionError("who would have thought")

    with (
        pytest.raises(MachineNotDeleted, match="who would have thought"),
        leased(ledger, Broken(backend, 0)),
    ):
        pass
    assert state(ledger).lease_open
