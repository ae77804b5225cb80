import signal

import pytest

from launcher.console import Screen
from launcher.errors import CloudRefused, Detached, JobFailed, MachineNotDeleted, NoCapacity
from launcher.jobs.context import JobContext
from launcher.jobs.events import Created, MachineDeleting, MachineRequested
from launcher.jobs.lease import delete_machine, leased_machine, spec_of
from launcher.jobs.ledger import Ledger
from launcher.machines.base import MachinePlan

# The lease is the same on every backend; this one is quick.
pytestmark = pytest.mark.parametrize("backend", ["local"], indirect=True)


@pytest.fixture
def ledger(tmp_path, plan):
    """The open ledger of a job that has no machine yet."""
    with Ledger.create(tmp_path / "job", Created(plan(), uid="ab", pid=1)) as opened:
        yield opened


class Stubborn:
    """A backend whose deletions fail `times` times before they work."""

    def __init__(self, backend, times):
        self._backend, self._times = backend, times

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def delete(self, name, zone, unanswered=False):
        if self._times:
            self._times -= 1
            raise OSError("the network is down")
        return self._backend.delete(name, zone, unanswered)


def state(ledger):
    return ledger.job


def leased(ledger, backend):
    """The machine of the job, as the pipeline has it."""
    return leased_machine(JobContext(ledger, backend, Screen()))


def request(ledger, seconds=60):
    """What a launcher writes before it requests a machine."""
    ledger.add(MachineRequested("words-1-ab", "", "1", seconds))


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt, SystemExit])
def test_machine_is_deleted_on_every_way_out(ledger, backend, error):
    """Whether the work succeeds, fails or is interrupted, no machine is left and that is proved."""
    try:
        with leased(ledger, backend):
            assert backend.list_machines().machines
            if error:
                raise error
    except BaseException as raised:
        assert type(raised) is error
    assert backend.list_machines().machines == []
    assert state(ledger).lease == "closed"
    assert "not found after its deletion" in state(ledger).proof


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_waits_for_the_deletion(ledger, backend, number):
    """Ctrl-C while a machine is deleted waits until it is gone, and then ends the job."""

    class Interrupted(Stubborn):
        def delete(self, name, zone, unanswered=False):
            signal.raise_signal(number)
            return super().delete(name, zone, unanswered)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), leased(ledger, Interrupted(backend, 0)):
            pass
    finally:
        signal.signal(signal.SIGTERM, before)
    assert backend.list_machines().machines == []
    assert state(ledger).lease == "closed"


def test_request_is_in_the_ledger_before_it_is_sent(ledger, backend):
    """A launcher that dies while the request is under way has name and request id in its ledger."""

    class Dies:
        connect = backend.connect
        delete = backend.delete
        list_machines = backend.list_machines

        def create(self, spec):
            assert state(ledger).lease == "requested"
            assert state(ledger).machine == spec.name
            assert state(ledger).request_id == spec.request_id
            raise ConnectionError("no reply")

    with pytest.raises(ConnectionError), leased(ledger, Dies()):
        pass
    assert state(ledger).lease == "closed"


def test_resumed_job_uses_the_machine_it_has(ledger, backend):
    """A resumed job uses the machine that a dead launcher left, and deletes it."""
    request(ledger)
    backend.create(spec_of(ledger)).run("touch mark", timeout=10)
    with leased(ledger, backend) as machine:
        assert machine.run("test -e mark", timeout=10).code == 0
    assert backend.list_machines().machines == []


def test_interrupted_deletion_is_finished_first(ledger, backend):
    """A machine whose deletion had begun is not used again."""
    request(ledger)
    backend.create(spec_of(ledger)).run("touch mark", timeout=10)
    ledger.add(MachineDeleting())
    with leased(ledger, backend) as machine:
        assert machine.run("test -e mark", timeout=10).code == 1


def test_failed_deletion_keeps_the_lease_open(ledger, backend):
    """The lease of a machine that cannot be deleted stays open until it can."""
    stubborn = Stubborn(backend, times=1)
    with pytest.raises(MachineNotDeleted, match="network is down"), leased(ledger, stubborn):
        pass
    assert state(ledger).lease_open
    delete_machine(ledger, stubborn)
    assert not state(ledger).lease_open
    assert backend.list_machines().machines == []


class Crowded:
    """A backend with zones, of which some have no capacity."""

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
        (
            {"west1-a": NoCapacity("broke", again=True)},
            ["west1-a", "west1-a", "west1-b"],
        ),
    ],
    ids=["room", "next", "named by the refusal", "region out", "never twice", "once more"],
)
def test_zone_without_capacity_is_followed_by_another(tmp_path, backend, plan, refusals, asked):
    """After a stockout the zones that the refusal names come first, then the other allowed ones;
    after a quota nothing else in that region is tried; after an internal error the same zone is
    tried once more."""
    crowded = Crowded(backend, refusals)
    made = plan(machine=MachinePlan("local", ZONES, 0.0, "no cost"))
    with Ledger.create(tmp_path / "job", Created(made, uid="ab", pid=1)) as ledger:
        with leased(ledger, crowded):
            assert state(ledger).zone == asked[-1]
            assert len(backend.list_machines().machines) == 1
        assert crowded.asked == asked
        assert not state(ledger).lease_open


def test_no_capacity_anywhere_names_all_zones_and_reasons(tmp_path, backend, plan):
    """Without a machine in any zone the job fails, names every zone, each reason and each hint
    once, and leaves no machine."""
    refusals = {zone: NoCapacity("full", "wait") for zone in ZONES}
    refusals["west1-b"] = NoCapacity("a policy", "ask")
    crowded = Crowded(backend, refusals)
    made = plan(machine=MachinePlan("local", ZONES, 0.0, "no cost"))
    with (
        Ledger.create(tmp_path / "job", Created(made, uid="ab", pid=1)) as ledger,
        pytest.raises(CloudRefused, match="west1-a, west1-b, east1-a, east1-b") as refused,
        leased(ledger, crowded),
    ):
        pass
    assert refused.value.exit_code == 3
    assert str(refused.value).endswith("east1-b; full; a policy")
    assert refused.value.hint == "wait; ask"
    assert backend.list_machines().machines == []
    assert not state(ledger).lease_open


def test_machine_time_is_shared_by_all_machines_of_a_job(tmp_path, backend, plan):
    """A replacement may run only as long as the plan's time has left, and none is created when
    that is used up."""
    machine = MachinePlan("gce", ["west1-a"], 0.5, "a price")
    made = plan(machine=machine, max_run_seconds=3600)
    with Ledger.create(tmp_path / "job", Created(made, uid="ab", pid=1)) as ledger:
        with leased(ledger, backend):
            assert state(ledger).machine_bound == 3600
        request(ledger, seconds=3600)
        ledger.records[-1]["time"] -= 1800  # half an hour ago
        with leased(ledger, backend):
            assert state(ledger).machine_bound == pytest.approx(1800, abs=5)
        request(ledger, seconds=3600)
        ledger.records[-1]["time"] -= 1790
        with pytest.raises(JobFailed, match="60 min, is used up"), leased(ledger, backend):
            pass


def test_detached_job_keeps_its_machine(ledger, backend):
    """A machine that was left at work is not deleted."""
    with pytest.raises(Detached), leased(ledger, backend):
        raise Detached
    assert len(backend.list_machines().machines) == 1


def test_ssh_key_is_removed_with_its_machine(ledger, backend):
    """A job's SSH key is not kept longer than a machine that accepts it."""
    with leased(ledger, backend):
        (ledger.folder / "ssh_key").write_text("secret")
    assert not (ledger.folder / "ssh_key").exists()


def test_unanswered_request_is_sent_again(ledger, backend):
    """A request without an answer may still become a machine: the same request finds it, where
    a look at the zone would not."""
    request(ledger)

    class Late:
        """The machine is seen only when the request is sent again."""

        delete = backend.delete
        create = backend.create

        def connect(self, spec):
            return None

    with leased(ledger, Late()):
        assert [record["event"] for record in ledger.records].count("machine requested") == 1
        assert state(ledger).lease == "active"


def test_any_error_of_a_deletion_keeps_the_lease_open(ledger, backend):
    """An unforeseen error is no proof that the machine is gone."""

    class Broken(Stubborn):
        def delete(self, name, zone, unanswered=False):
            raise ZeroDivisionError("who would have thought")

    with (
        pytest.raises(MachineNotDeleted, match="who would have thought"),
        leased(ledger, Broken(backend, 0)),
    ):
        pass
    assert state(ledger).lease_open
