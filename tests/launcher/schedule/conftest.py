import pytest
from office import Office


@pytest.fixture
def office(tmp_path, monkeypatch):
    """An office whose store this process sees, too."""
    made = Office(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", made.environment["XDG_STATE_HOME"])
    yield made
    made.clear()
