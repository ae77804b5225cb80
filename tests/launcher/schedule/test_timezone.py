"""The name of this computer's time zone."""

import time

import pytest

from launcher.errors import UsageError
from launcher.schedule import timezone
from launcher.schedule.timezone import local_timezone


@pytest.fixture
def computer(tmp_path, monkeypatch):
    """A function that sets TZ, the target of /etc/localtime and the text of /etc/timezone. The C
    library's own offset is that of `clock`."""
    monkeypatch.setattr(timezone, "LOCALTIME", tmp_path / "localtime")
    monkeypatch.setattr(timezone, "TIMEZONE", tmp_path / "timezone")

    def make(clock, tz=None, link=None, text=None):
        monkeypatch.setenv("TZ", clock)
        time.tzset()
        if tz is None:
            monkeypatch.delenv("TZ")
        else:
            monkeypatch.setenv("TZ", tz)
        if link:
            (tmp_path / "localtime").symlink_to(link)
        if text:
            (tmp_path / "timezone").write_text(text)
            if not link:
                (tmp_path / "localtime").touch()

    yield make
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("sources", "name"),
    [
        ({"tz": "Asia/Kolkata"}, "Asia/Kolkata"),
        ({"tz": ":Asia/Kolkata"}, "Asia/Kolkata"),
        ({"tz": "/usr/share/zoneinfo/Asia/Kolkata"}, "Asia/Kolkata"),
        ({"tz": "Asia/Kolkata", "text": "Asia/Colombo"}, "Asia/Kolkata"),
        ({"text": "Asia/Kolkata\n"}, "Asia/Kolkata"),
        ({"clock": "UTC"}, "UTC"),
        ({"clock": "UTC", "tz": ""}, "UTC"),
    ],
)
def test_local_timezone_reads_tz_and_debian_file(computer, sources, name):
    """TZ comes first, then /etc/timezone; without either, the C library uses UTC, and so do we."""
    computer(**{"clock": "Asia/Kolkata", **sources})
    assert local_timezone() == name


@pytest.mark.parametrize("below", ["Asia/Kolkata", "posix/Asia/Kolkata"])
def test_local_timezone_reads_the_localtime_link(computer, tmp_path, below):
    """The link /etc/localtime comes before /etc/timezone, also if it leads over another link."""
    target = tmp_path / "zoneinfo" / below
    target.parent.mkdir(parents=True)
    target.touch()
    (tmp_path / "between").symlink_to(target)
    computer("Asia/Kolkata", link=tmp_path / "between", text="Asia/Colombo")
    assert local_timezone() == "Asia/Kolkata"


@pytest.mark.parametrize(
    "sources",
    [
        {"tz": "CET-1CEST", "clock": "CET-1CEST"},  # a rule without a name
        {"text": "Europe/Berlin"},  # not what the clock shows
        {"text": "nowhere"},
    ],
)
def test_local_timezone_without_a_right_name_is_refused(computer, sources):
    """A time zone without a name, or whose name has another offset than the clock, is refused."""
    computer(**{"clock": "Asia/Kolkata", **sources})
    with pytest.raises(UsageError, match="has no name") as refused:
        local_timezone()
    assert "--timezone" in refused.value.hint
