"""The fake as a program of its own."""

import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_gce import missing_tools
from google.api_core import exceptions


class Program:
    """A running `python -m fake_gce`, with the attributes of FakeGce that a client needs."""

    def __init__(self, root: Path, *before: str) -> None:
        command = [*before, sys.executable, "-m", "fake_gce", "--root", str(root)]
        support = Path(__file__).parents[1] / "support"
        self.process = subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": str(support)}, stdout=subprocess.PIPE
        )
        self.environment = json.loads(self.process.stdout.readline())
        self.root, self.url = root, self.environment["FAKE_GCE"]

    def ask(self, path: str, body: dict | None = None) -> object:
        content = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/fake/{path}", content) as answer:
            return json.load(answer)


@pytest.fixture
def program(tmp_path) -> Iterator[Program]:
    if why := missing_tools():
        pytest.skip(why)
    program = Program(tmp_path / "gce")
    yield program
    program.process.kill()
    program.process.wait()


def _machines(root: Path) -> list[str]:
    """The processes of machines of this fake."""
    processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [path.name for path in processes if f"{root}/vms" in _mounts(path)]


def _mounts(process: Path) -> str:
    try:
        return (process / "mountinfo").read_text()
    except OSError:
        return ""


def test_program_is_controlled_over_http(program, connect):
    """Another process plans faults, lists machines and cuts their power."""
    client = connect(program)
    fault = program.ask("faults", {"method": "insert", "kind": "rate_limit"})
    with pytest.raises(exceptions.Forbidden):
        client.insert()
    assert program.ask("faults")[0]["hits"] == fault["hits"] + 1
    client.create(scheduling={"automatic_restart": False})
    shown = program.ask("instances")[0]
    assert (shown["name"], shown["address"]) == ("vm-1", client.address())
    program.ask("vms/vm-1/power_cut", {})
    assert program.ask("requests")[0]["method"] == "instances.insert"
    assert program.ask("violations") == []


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_machine_outlives_the_program(program, connect, until, end):
    """Machines end with the program, whichever signal ends it, also while one is created."""
    connect(program).create()
    program.process.send_signal(end)
    program.process.wait(20)
    until(lambda: not _machines(program.root))


def test_no_frozen_machine_outlives_the_program(program, connect, until):
    """A frozen machine ends with the program too; only the kernel can end it."""
    connect(program).create()
    program.ask("vms/vm-1/freeze", {})
    assert _machines(program.root)
    program.process.kill()
    program.process.wait(20)
    until(lambda: not _machines(program.root))


def test_program_ends_with_its_parent(tmp_path, until):
    """The program ends also where its parent was killed."""
    if why := missing_tools():
        pytest.skip(why)
    parent = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    program = Program(tmp_path / "gce", sys.executable, "-c", parent)
    program.process.kill()

    def is_gone() -> bool:
        try:
            program.ask("faults")
            return False
        except (OSError, http.client.HTTPException):  # it may end amid an answer
            return True

    until(is_gone)


def test_client_needs_only_url_and_environment(program, connect):
    """A client of the fake works with what the program prints."""
    assert connect(SimpleNamespace(**vars(program))).instances


def test_catalogue_is_changed_over_http(program, connect):
    """Another process lets a zone stop answering; an unknown field is refused."""
    client = connect(program)
    program.ask("catalogue", {"unreachable": ["us-west1-b"]})
    with pytest.raises(exceptions.ServiceUnavailable):
        client.insert()
    program.ask("catalogue", {"unreachable": []})
    client.insert()
    with pytest.raises(urllib.error.HTTPError):
        program.ask("catalogue", {"unreachabel": []})
