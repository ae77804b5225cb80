import contextlib
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import retrain_cells
from fake_gce import FakeGce, missing_tools
from leak_cells import ForkServer
from leak_cells.fork_server import WARM
from workspace import QUICKSTART, SMALL, Workspace, without_training

from launcher import cli, state
from launcher.config.settings import Config, Data, Words
from launcher.jobs import ledger
from launcher.jobs import plan as plans
from launcher.machines.base import MachinePlan, MachineSpec
from launcher.machines.gce import request as gce_request
from launcher.machines.gce.backend import GceBackend
from launcher.machines.gce.details import Details
from launcher.machines.gce.timeouts import Timeouts
from launcher.machines.local import LocalBackend

IMAGE = "projects/debian-cloud/global/images/debian-12-bookworm-v20260401"
IMPATIENT = Timeouts(call=2.0, host_keys=2.0, connect=2.0, poll=0.1, unanswered=2.0, delete=4.0)
BINARY = bytes(range(256)) * 33 + b"\r\n\x00\xff"


@pytest.fixture(autouse=True)
def state_home(tmp_path, monkeypatch):
    """What the launcher remembers of its user is the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))


@pytest.fixture(params=["local", "gce"])
def backend(request, tmp_path, monkeypatch):
    """Each backend in turn, so that all of them keep one contract."""
    with contextlib.ExitStack() as stack:
        if request.param == "local":
            made = LocalBackend(tmp_path / "machines")
        elif missing := missing_tools():
            pytest.skip(missing)
        else:
            fake = stack.enter_context(FakeGce(tmp_path / "gce"))
            for name, value in fake.environment.items():
                monkeypatch.setenv(name, value)
            body = gce_request.template(Config(Words(("yes",))), fake.project, IMAGE, "true\n")
            made = GceBackend(Details(fake.project, body, "jupyter"))
        yield made
        for info in made.list_machines().machines:
            made.delete(info.name, info.zone)


@pytest.fixture
def zone(backend):
    """Where machines of that backend can be ordered."""
    return "" if isinstance(backend, LocalBackend) else "us-west1-b"


@pytest.fixture
def spec(tmp_path, zone):
    """Makes an order for a machine of job words-1, called what one likes."""
    (tmp_path / "words-1").mkdir()

    def make(name="words-1-ab", owner=None):
        labels = {"job": "words-1", "uid": "ab", "owner": owner or state.owner()}
        return MachineSpec(name, zone, str(uuid.uuid4()), labels, tmp_path / "words-1", 60)

    return make


@pytest.fixture
def machine(backend, spec):
    """A machine of that backend."""
    with contextlib.closing(backend.create(spec())) as made:
        yield made


@pytest.fixture
def binary():
    """Bytes that any text conversion on the way would change."""
    return BINARY


@pytest.fixture
def plan():
    """Makes a plan without work in it; keywords change it."""

    def make(**changes):
        machine = MachinePlan("local", [""], 0.0, "this computer", metered=False)
        config = Config(Words(("yes",)), name="words", backend="local", data=Data(archive="v0.02"))
        return replace(plans.make(config, "words-1", "/nowhere", machine), **changes)

    return make


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """A process that has imported what launchers import, TensorFlow too, and forks them."""
    with ForkServer(tmp_path_factory.mktemp("forks"), (*WARM, *retrain_cells.WARM)) as started:
        yield started


@pytest.fixture
def forked(workspace, forks):
    """Lets the workspace fork its launchers."""
    workspace.forks = forks


@pytest.fixture
def workspace(tmp_path):
    """A workspace on this computer, where a file has no other; whatever a failed test left running
    there is ended."""
    made = Workspace(tmp_path)
    yield made
    for process in made.processes():
        process.kill()


@pytest.fixture
def trained(workspace, finished):
    """A job named words-1 without a training of its own, ready to be resumed."""
    shutil.copytree(finished[0], workspace.folder / "past")
    plan = ledger.read(finished[0]).plan.to_json()
    return workspace.begin(without_training(plan, workspace.folder / "past"))


@pytest.fixture
def launcher(workspace, monkeypatch, capfd):
    """Runs a command in this process as main() does, in the folder of `workspace`, with short waits
    for the cloud: exit code, standard output, standard error."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(GceBackend, "timeouts", IMPATIENT)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["launcher", *arguments])
        for stream in ("stdout", "stderr"):  # main() replaces them
            monkeypatch.setattr(sys, stream, getattr(sys, stream))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return ended.value.code or 0, out, err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small job that ran to its end undisturbed on this computer: (its folder, its last screen).
    What other jobs of the same config leave is compared with it. Workers share it."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    place.mkdir(exist_ok=True)
    screen = place / "screen"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not screen.exists():
            workspace = Workspace(Path(tempfile.mkdtemp(dir=place)))  # again after a failure
            code, out, err = workspace.run("train", str(QUICKSTART), *SMALL)
            assert code == 0, err
            assert workspace.machines() == []
            workspace.folder.rename(place / "workspace")
            screen.write_text(out)
    return place / "workspace" / "runs" / "quickstart-1", screen.read_text()
