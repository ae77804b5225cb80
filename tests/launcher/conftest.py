import pytest

from launcher.backends.local import LocalBackend

BINARY = bytes(range(256)) * 33 + b"\r\n\x00\xff"


@pytest.fixture(params=["local"])
def backend(request, tmp_path):
    """Each backend in turn, so that all of them keep one contract."""
    made = {"local": lambda: LocalBackend(tmp_path / "machines")}[request.param]()
    yield made
    for rental in made.rentals():
        made.delete(rental.name)


@pytest.fixture
def machine(backend):
    """A machine of that backend."""
    return backend.create("words-1-ab", {"job": "words-1", "folder": "/nowhere"}, 60)


@pytest.fixture
def binary():
    """Bytes that any text conversion on the way would change."""
    return BINARY
