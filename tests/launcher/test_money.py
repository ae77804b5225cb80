"""What is said about money, against what the cloud has."""

import json
import shutil
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import asdict, replace
from datetime import UTC, datetime
from types import SimpleNamespace

import interrupted
import pytest
from fake_gce import FOR_EVER, FakeGce, missing_tools
from workspace import PATIENCE, Workspace

from launcher import state
from launcher.config.settings import Config, Gce, Words
from launcher.jobs import control, inventory, reap
from launcher.jobs.events import Created, Ended, MachineReady, MachineRequested
from launcher.jobs.lease import spec_of
from launcher.jobs.ledger import Ledger, read
from launcher.jobs.states import Outcome
from launcher.machines.base import MachinePlan
from launcher.machines.gce import delete, request
from launcher.machines.gce.backend import GceBackend
from launcher.machines.gce.details import Details
from launcher.machines.gce.request import fill

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())
IMAGE = "projects/debian-cloud/global/images/debian-12-bookworm-v20260401"
ZONE, MACHINE = "us-west1-b", "words-1-0123abcd"
NOTHING = "Nothing is still being paid for: looked at this computer and project test-project"
UNKNOWN = "Whether anything is still being paid for is not known: "


@pytest.fixture
def gce(tmp_path, monkeypatch):
    """A fake Compute Engine for launchers of this process."""
    with FakeGce(tmp_path / "gce", operation_seconds=0.02) as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake
        assert fake.violations == []


@pytest.fixture
def workspace(tmp_path, gce, monkeypatch):
    """A workspace, which is the current folder."""
    (tmp_path / "workspace").mkdir()
    monkeypatch.chdir(tmp_path / "workspace")
    return Workspace(tmp_path / "workspace", gce.environment)


@pytest.fixture
def ledger(plan, workspace, gce):
    """The ledger of a job whose launcher was killed right after it had requested a machine."""
    config = Config(Words(("yes",)), gce=Gce(min_cpu_platform=""))
    template = request.template(config, gce.project, IMAGE, "true\n")
    details = asdict(Details(gce.project, template, "jupyter"))
    machine = MachinePlan("gce", [ZONE], 0.4, "a table", details=details)
    created = Created(replace(plan(), machine=machine), uid="0123abcd", pid=0)
    with Ledger.create(workspace.folder / "runs" / "words-1", created) as opened:
        opened.add(MachineRequested(MACHINE, ZONE, str(uuid.uuid4()), 3600))
    state.remember_project(gce.project, "")
    return opened


def send(ledger):
    """Send the request for the machine, as the killed launcher had done."""
    spec = spec_of(ledger)
    backend = GceBackend.for_plan(ledger.job.plan.machine, print)
    body = fill(backend._details.insert, spec, "ssh-ed25519 AAAA", datetime.now(UTC))
    return backend._client.insert(ZONE, body, spec.request_id)


@pytest.fixture
def machine(ledger, gce):
    """That machine, which runs."""
    operation = send(ledger)
    backend = GceBackend.for_plan(ledger.job.plan.machine, print)
    backend._client.complete(ZONE, MACHINE, operation, 20)
    with Ledger.open(ledger.folder) as opened:
        opened.add(MachineReady())
    return gce.instances[MACHINE]


def test_complete_view_says_nothing_and_where_it_looked(launcher, gce):
    """Without a machine the last line says so, with the places that were looked at."""
    for command in ("status", "reap"):
        code, out, _ = launcher(command)
        assert (code, out.splitlines()[-1]) == (0, NOTHING)
    shown = json.loads(launcher("status", "--json")[1])
    assert shown["paying"] == NOTHING
    assert shown["looked_at"] == ["this computer", "project test-project"]


def test_zone_without_an_answer_is_never_nothing(launcher, gce, machine):
    """A machine in a zone that does not answer is not listed; status and reap say what could not be
    seen, and exit with 3; once the zone answers, reap deletes the machine."""
    gce.catalogue.unreachable.add(ZONE)
    code, out, _ = launcher("status")
    assert (code, "us-west1-b did not answer" in out) == (3, True)
    assert out.splitlines()[-1].startswith(UNKNOWN)
    code, out, err = launcher("reap")
    assert code != 0 and "us-west1-b did not answer" in out
    assert out.splitlines()[-1].startswith(UNKNOWN)
    gce.catalogue.unreachable.clear()
    code, out, _ = launcher("reap")
    assert (code, out.splitlines()) == (0, [f"deleted {MACHINE}", NOTHING])
    assert gce.instances == {}


@pytest.mark.parametrize("listed", ["globalOperations.aggregatedList", "disks.aggregatedList"])
def test_refused_list_hides_no_machine(launcher, gce, machine, listed):
    """Where the role may not list disks or operations, the machines are shown, and that is said."""
    gce.faults.add(listed, "permission", times=9)
    code, out, _ = launcher("status")
    assert (code, f"machine {MACHINE} in {ZONE}" in out) == (3, True)
    assert "not seen: project test-project: you lack the permission" in out


def test_page_that_fails_is_unseen(launcher, gce, machine):
    """Where a later page of a list fails, what came before it is shown, and the rest is unseen."""
    gce.behaviour.page_size = 1
    gce.faults.add("disks.aggregatedList", "permission", times=1)
    code, out, _ = launcher("status")
    assert (code, "not seen: project test-project" in out) == (3, True)


def test_new_computer_finds_the_machine_by_its_credentials(
    launcher, gce, machine, ledger, tmp_path, monkeypatch
):
    """With the same credentials and nothing else of the old computer, the machine is found, and the
    command that status shows deletes it; a plain reap leaves it, as it may be a colleague's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "new computer"))
    shutil.rmtree(ledger.folder)
    code, out, _ = launcher("status")
    hint = f"launcher reap {MACHINE}"
    assert (code, hint in out) == (0, True)
    assert out.splitlines()[-1] == f"Still being paid for: {MACHINE} in {ZONE}"
    code, out, _ = launcher("reap")
    assert (code, out.splitlines()[0]) == (0, "nothing to delete")
    assert out.splitlines()[-1] == f"Still being paid for: {MACHINE} in {ZONE}"
    code, out, _ = launcher(*hint.split()[1:])
    assert (code, out.splitlines()[-1]) == (0, NOTHING)
    assert gce.instances == {}


def test_computer_without_credentials_says_that_it_did_not_look(launcher, monkeypatch, tmp_path):
    """Without credentials and without a known project, no project was looked at: that is said."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("HOME", str(tmp_path))
    code, out, _ = launcher("status")
    assert code == 3
    assert "not seen: Google Cloud: this computer has no credentials" in out
    assert out.splitlines()[-1].startswith(UNKNOWN)


def test_request_that_is_held_is_awaited_by_reap(launcher, gce, ledger, monkeypatch):
    """Where Compute Engine holds an insert and its launcher was killed, `reap` waits for it, and
    deletes the machine that then appears, also if this computer's clock was put forward."""
    ahead = {"time": lambda: time.time() + 7200}
    monkeypatch.setattr(delete, "time", SimpleNamespace(**{**vars(time), **ahead}))
    held = gce.faults.add("insert", "hold")
    thread = threading.Thread(target=send, args=[ledger])
    thread.start()
    assert held.reached.wait(20)
    release = threading.Timer(1.0, held.release)
    release.start()
    code, out, err = launcher("reap")
    thread.join()
    assert (code, out.splitlines()) == (0, [f"deleted {MACHINE}", NOTHING])
    assert "waiting for the answer to the request" in err
    assert gce.instances == {} and len(gce.asked("instances.delete")) == 1
    assert read(ledger.folder).lease == "closed"


def test_request_that_never_arrived_is_awaited_and_closed(launcher, gce, ledger):
    """A request that Compute Engine never got is waited for, and its lease is then closed."""
    began = time.monotonic()
    code, out, _ = launcher("reap")
    assert (code, out.splitlines()[-1]) == (0, NOTHING)
    assert time.monotonic() - began > 1.5
    assert read(ledger.folder).lease == "closed"


def test_pending_insert_is_seen_before_its_machine(launcher, gce, ledger, tmp_path, monkeypatch):
    """A machine whose creation has not begun is in no list; another computer sees its request."""
    held = gce.faults.add("insert", "pending_operation")
    send(ledger)
    assert held.reached.wait(10)
    monkeypatch.chdir(tmp_path)
    code, out, _ = launcher("status")
    held.release()
    assert (code, f"{MACHINE} is being created in {ZONE}" in out) == (3, True)


def test_pending_insert_is_awaited_and_deleted_by_reap(launcher, gce, ledger):
    """After `reap` deleted a machine whose creation had not begun, nothing of it is unseen."""
    held = gce.faults.add("insert", "pending_operation")
    send(ledger)
    assert held.reached.wait(10)
    gce.faults.add("instances.get", "call", function=lambda facts: held.release())
    code, out, err = launcher("reap")
    assert (code, out.splitlines()) == (0, [f"deleted {MACHINE}", NOTHING]), err


def test_deletion_under_way_is_waited_for(launcher, gce, machine):
    """A deletion that another launcher began is refused as not ready, and waited for."""
    held = gce.faults.add("delete", "hold_operation")
    GceBackend.for_config(Config(Words(("yes",))))._client.delete(
        "instance", ZONE, MACHINE, str(uuid.uuid4())
    )
    assert held.reached.wait(10)
    release = threading.Timer(0.5, held.release)
    release.start()
    code, out, err = launcher("reap")
    assert (code, out.splitlines()) == (0, [f"deleted {MACHINE}", NOTHING]), err


def test_detached_machine_survives_a_wrong_clock(launcher, gce, machine, ledger, monkeypatch):
    """With this computer's clock two hours ahead, `reap` leaves a machine that works detached."""
    with Ledger.open(ledger.folder) as opened:
        opened.add(Ended(Outcome.DETACHED))
    wrong = SimpleNamespace(time=lambda: time.time() + 7200)
    monkeypatch.setattr(reap, "time", wrong)
    monkeypatch.setattr(inventory, "time", wrong)
    code, out, _ = launcher("reap")
    assert (code, out.splitlines()[0]) == (0, "nothing to delete")
    assert MACHINE in gce.instances
    gce.catalogue.unreachable.add(ZONE)
    launcher("reap")
    gce.catalogue.unreachable.clear()
    assert MACHINE in gce.instances and gce.asked("instances.delete") == []


def test_kept_machine_is_resumed_later(launcher, gce, machine, ledger):
    """Where the zone has no capacity for a machine that finished and powered itself off, `resume`
    keeps it and its results, exits with 3, and says how to go on."""
    with Ledger.open(ledger.folder) as opened:
        opened.add(Ended(Outcome.DETACHED))
    gce.vm(MACHINE).press_power_button()
    deadline = time.monotonic() + 60
    while gce.instances[MACHINE]["status"] != "TERMINATED":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    gce.faults.add("instances.start", "stockout")
    code, _, err = launcher("resume", "words-1")
    assert code == 3, err
    assert "is stopped with its results, and cannot start at the moment" in err
    assert "launcher resume words-1 tries again" in err
    assert err.splitlines()[-1].startswith(f"Machine {MACHINE} works detached, or keeps its res")
    assert read(ledger.folder).outcome == "detached"
    assert gce.instances[MACHINE]["status"] == "TERMINATED"
    code, out, _ = launcher("reap")
    assert (code, out.splitlines()[0]) == (0, "nothing to delete")


def test_cancel_that_fails_ends_with_what_is_paid(launcher, gce, machine):
    """Where `cancel` cannot delete the machine, its last line says that it may still exist."""
    gce.faults.add("instances.delete", "permission", times=FOR_EVER)
    code, _, err = launcher("cancel", "words-1")
    assert code != 0 and "could not be deleted" in err
    assert err.splitlines()[-1].startswith(f"Machine {MACHINE} may still exist: launcher resume")


def test_mistake_of_the_launcher_ends_with_what_is_paid(launcher, ledger, monkeypatch):
    """An unexpected exception shows its trace, and then the machines that may still exist."""

    def fail(folder):
        raise ZeroDivisionError

    monkeypatch.setattr(control, "cancel", fail)
    code, _, err = launcher("cancel", "words-1")
    assert (code, "Traceback" in err) == (1, True)
    assert err.splitlines()[-1].startswith(f"words-1: Machine {MACHINE} may still exist")


@pytest.mark.parametrize(
    ("module", "deleted"),
    [
        ("launcher.jobs.control", False),
        ("google.cloud.compute_v1.types.compute", True),
        ("fabric.connection", True),
    ],
)
def test_interrupt_while_libraries_load(module, deleted, gce, machine, ledger, workspace):
    """A Ctrl-C while `resume` loads its libraries ends it with 130: before the job is opened its
    machine is left, and named; later it is deleted, with libraries that are loaded whole."""
    done = subprocess.run(
        [sys.executable, interrupted.__file__, module, "SIGINT", "resume", "words-1"],
        env=workspace.environment,
        cwd=workspace.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert (MACHINE in gce.instances) is not deleted
    if deleted:
        assert last.startswith(f"Nothing is still being paid for by this job: {MACHINE} and its d")
    else:
        assert last.startswith(f"words-1: Machine {MACHINE} may still exist: launcher resume")
