import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from desk import QUICKSTART, SMALL, Desk

from launcher import plan as plans
from launcher import state
from launcher.backends.base import Order, Quote
from launcher.backends.local import LocalBackend
from launcher.config import Config, Data, Words

BINARY = bytes(range(256)) * 33 + b"\r\n\x00\xff"


@pytest.fixture(autouse=True)
def state_home(tmp_path, monkeypatch):
    """What the launcher remembers of its user is the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))


@pytest.fixture(params=["local"])
def backend(request, tmp_path):
    """Each backend in turn, so that all of them keep one contract."""
    made = {"local": lambda: LocalBackend(tmp_path / "machines")}[request.param]()
    yield made
    for rental in made.rentals():
        made.delete(rental.name, rental.place)


@pytest.fixture
def order(tmp_path):
    """Makes an order for a machine called what one likes."""

    def make(name="words-1-ab", folder=Path("/nowhere"), owner=None):
        labels = {"job": "words-1", "uid": "ab", "owner": owner or state.owner()}
        return Order(name, "", str(uuid.uuid4()), labels, folder, 60)

    return make


@pytest.fixture
def machine(backend, order):
    """A machine of that backend."""
    return backend.create(order())


@pytest.fixture
def binary():
    """Bytes that any text conversion on the way would change."""
    return BINARY


@pytest.fixture
def plan():
    """Makes a plan without work in it; keywords change it."""

    def make(**changes):
        quote = Quote([""], 0.0, "this computer")
        config = Config(Words(("yes",)), name="words", backend="local", data=Data(archive="v0.02"))
        return replace(plans.make(config, "words-1", "/nowhere", quote), **changes)

    return make


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small job that ran to its end undisturbed on this computer: (its folder, its last screen).
    What other jobs of the same config leave is compared with it."""
    desk = Desk(tmp_path_factory.mktemp("finished"))
    code, out, err = desk.run("train", str(QUICKSTART), *SMALL)
    assert code == 0, err
    assert desk.machines() == []
    return desk.folder / "runs" / "quickstart-1", out
