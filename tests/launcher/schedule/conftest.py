import pytest
from schedule_workspace import ScheduleWorkspace


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with schedules that this process sees too."""
    made = ScheduleWorkspace(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", made.environment["XDG_STATE_HOME"])
    yield made
    made.kill_all()
