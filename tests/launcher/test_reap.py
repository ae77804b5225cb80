import time

import pytest

from launcher.errors import CloudRefused
from launcher.jobs import inventory
from launcher.jobs.events import Created, Ended, MachineDeleted, MachineReady, MachineRequested
from launcher.jobs.inventory import Owner
from launcher.jobs.lease import spec_of
from launcher.jobs.ledger import Ledger
from launcher.jobs.reap import reap
from launcher.jobs.states import Outcome
from launcher.machines import registry
from launcher.machines.base import Listing, MachineInfo

# The rule is the same on every backend; this one is quick.
pytestmark = pytest.mark.parametrize("backend", ["local"], indirect=True)
HOUR = 3600.0


class Cloud:
    """A place with machines that cost money; its clock may differ from this computer's."""

    place = "project sound"

    def __init__(self, ahead=0.0):
        self.ahead, self.machines, self.unseen, self.deleted = ahead, [], [], []
        self.refusal = None

    def list_machines(self):
        if self.refusal:
            raise self.refusal
        return Listing(self.machines, time.time() + self.ahead, self.unseen)

    def delete(self, name, zone, unanswered=False):
        self.deleted.append((name, unanswered))
        return f"{name} is gone"

    def has(self, name, folder="", owner="somebody else", **facts):
        created = time.time() + self.ahead - 60
        labels = {"owner": owner}
        self.machines.append(MachineInfo(name, labels, str(folder), created, "us-a", **facts))


@pytest.fixture
def places(backend, monkeypatch, tmp_path):
    """The backends that are looked at; the test's own folder has the jobs."""
    monkeypatch.chdir(tmp_path)
    found, blind = [backend], []
    monkeypatch.setattr(registry, "everywhere", lambda project: (found, blind))
    monkeypatch.setattr(registry, "for_plan", lambda plan, say=None: found[-1])
    return found, blind


@pytest.fixture
def cloud(places):
    """A cloud that is looked at."""
    places[0].append(Cloud())
    return places[0][-1]


@pytest.fixture
def job(plan, tmp_path):
    """Makes the ledger of a job in runs/, open, on a machine that costs money."""

    def make(name="words-1", uid="ab", metered=True):
        made = plan(job=name)
        machine = made.machine.__class__(**{**vars(made.machine), "metered": metered})
        created = Created(made.__class__(**{**vars(made), "machine": machine}), uid=uid, pid=1)
        return Ledger.create(tmp_path / "runs" / name, created)

    return make


def request(ledger, name="words-1-ab", seconds=60):
    """What a launcher writes before it requests a machine."""
    ledger.add(MachineRequested(name, "us-a", "1", seconds))


def leave(ledger, outcome=Outcome.FAILED):
    """End the launcher of a job."""
    ledger.add(Ended(outcome))
    ledger.close()


def test_reap_spares_the_machine_of_a_living_job(places, job, backend):
    """While a launcher holds a job's ledger, its present machine is not touched, and is refused
    even by its name."""
    with job() as ledger:
        request(ledger)
        backend.create(spec_of(ledger))
        done = reap()
        assert (done.deleted, done.failures) == ([], [])
        failures = reap(names=["words-1-ab"]).failures
        assert failures == ["words-1-ab: it is not deleted: a job needs it"]
        assert backend.list_machines().machines


def test_reap_deletes_the_machine_of_a_dead_job(places, job, backend):
    """A machine whose job is dead is deleted, and its ledger says so."""
    ledger = job(metered=False)
    request(ledger)
    backend.create(spec_of(ledger))
    ledger.close()
    done = reap()
    assert (done.deleted, done.failures) == (["words-1-ab"], [])
    with Ledger.open(ledger.folder) as opened:
        assert opened.job.lease == "closed"


def test_reap_deletes_a_machine_whose_ledger_is_lost(places, backend, spec):
    """A machine that is known by its labels alone is deleted, too."""
    backend.create(spec("words-9-zz"))
    assert reap().deleted == ["words-9-zz"]
    assert backend.list_machines().machines == []


def test_machine_of_a_deleted_folder_is_not_its_successors(cloud, job):
    """Where a folder was deleted and a job of the same name began in it, the old machine has no
    owner; that of the living job has."""
    with job(uid="new") as ledger:
        request(ledger, "words-1-new")
        from launcher import state

        cloud.has("words-1-old", ledger.folder.resolve(), state.owner())
        cloud.has("words-1-new", ledger.folder.resolve(), state.owner())
        owners = {each.machine.name: each.owner for each in inventory.look().machines}
        assert owners == {"words-1-old": Owner.NOBODY, "words-1-new": Owner.JOB}
        assert reap().deleted == ["words-1-old"]
        assert ledger.job.lease_open


def test_reap_continues_after_a_failure(places, backend, spec, monkeypatch):
    """One machine that cannot be deleted does not keep the others."""
    for name in ("a-1-x", "b-1-y"):
        backend.create(spec(name))
    delete = backend.delete

    def stubborn(name, zone, unanswered=False):
        if name == "a-1-x":
            raise OSError("the network is down")
        return delete(name, zone)

    monkeypatch.setattr(backend, "delete", stubborn)
    done = reap()
    monkeypatch.undo()
    assert done.deleted == ["b-1-y"]
    assert done.failures == ["a-1-x: the network is down"]


def test_machine_of_another_computer_needs_its_name(cloud):
    """A machine that another computer created is deleted where it is named, or with `everybody`."""
    cloud.has("words-1-ab")
    assert reap().deleted == []
    assert "Still being paid for: words-1-ab in us-a" in reap().left.verdict()
    assert reap(names=["words-1-ab"]).deleted == ["words-1-ab"]
    assert reap(everybody=True).deleted == ["words-1-ab"]


def test_name_that_nothing_has_is_a_failure(cloud):
    """A name that no machine has is said, and deletes nothing."""
    done = reap(names=["words-1-zz"])
    assert done.failures == ["words-1-zz: no such machine was seen"]
    assert cloud.deleted == []


@pytest.mark.parametrize(("ahead", "spared"), [(0.0, True), (-2 * HOUR, True), (2 * HOUR, False)])
def test_detached_machine_lives_by_the_clock_of_its_cloud(cloud, job, ahead, spared):
    """Whether a detached machine may still work is decided by the cloud's clock: this computer's
    may be two hours ahead of it or behind it."""
    cloud.ahead = ahead
    ledger = job()
    request(ledger, seconds=HOUR)
    ledger.add(MachineReady())
    leave(ledger, Outcome.DETACHED)
    created = time.time() + min(ahead, 0.0) - 60
    machine = MachineInfo("words-1-ab", {}, str(ledger.folder.resolve()), created, "us-a")
    cloud.machines.append(machine)
    assert reap().deleted == ([] if spared else ["words-1-ab"])


def test_request_without_an_answer_is_waited_for(cloud, job):
    """The machine of a request that has no answer is deleted once that request was waited for."""
    ledger = job()
    request(ledger)
    ledger.close()
    assert "without an answer yet" in str(inventory.look().unseen[0])
    said = []
    assert reap(say=said.append).deleted == ["words-1-ab"]
    assert said == ["waiting for the answer to the request for words-1-ab"]
    assert cloud.deleted == [("words-1-ab", True)]


def test_answered_request_is_not_waited_for(cloud, job):
    """After its machine was ready, a job's deletion waits for no answer."""
    ledger = job()
    request(ledger)
    ledger.add(MachineReady())
    ledger.close()
    reap()
    assert cloud.deleted == [("words-1-ab", False)]


def test_complete_view_names_what_it_looked_at(cloud, job):
    """That nothing is paid for is said of a complete view alone, with its places."""
    ledger = job()
    request(ledger)
    ledger.add(MachineDeleted("gone"))
    leave(ledger)
    verdict = inventory.look().verdict()
    assert verdict == ("Nothing is still being paid for: looked at this computer and project sound")


def test_incomplete_view_is_never_nothing(cloud, places, job):
    """A zone without an answer, a project that refuses, a cloud without credentials and a lease
    without a proof each keep the verdict from being `nothing`."""
    unknown = "Whether anything is still being paid for is not known: 1 of the places"
    cloud.unseen = ["us-b did not answer"]
    assert inventory.look().verdict().startswith(unknown)
    cloud.unseen, cloud.refusal = [], CloudRefused("no", "hint")
    assert inventory.look().verdict().startswith(unknown)
    cloud.refusal = None
    places[1].append(CloudRefused("no credentials"))
    assert inventory.look().verdict().startswith(unknown)
    places[1].clear()
    ledger = job()
    request(ledger)
    ledger.add(MachineReady())
    ledger.close()
    assert inventory.look().verdict().startswith(unknown)


def test_unreadable_ledger_keeps_its_machine(cloud, tmp_path):
    """A machine whose ledger here cannot be read is neither deleted nor forgotten."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "ledger.jsonl").write_text('{"event": "created", "time": 0}\n')
    cloud.has("words-1-ab", folder)
    assert reap().failures == [
        "words-1-ab: it is not deleted: the ledger of its job cannot be read"
    ]
    assert cloud.deleted == []
