"""Schedules that systemd or cron start: what is written, and that it means the same."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest

from launcher.errors import LauncherError, UsageError
from launcher.schedule import crontab, systemd
from launcher.schedule.cron import Cron, checked
from launcher.schedule.install import command, install
from launcher.schedule.store import Schedules

# One day before a clock change, and what is asked for then.
AROUND_CHANGES = [
    ("Europe/Berlin", "2027-03-27T12:00", "30 2 * * *"),
    ("Europe/Berlin", "2027-10-30T12:00", "30 2 * * *"),
    ("Europe/Berlin", "2027-03-27T23:00", "0,30 1-3 * * *"),
    ("Europe/Berlin", "2027-10-30T22:00", "30 * * * *"),
    ("America/New_York", "2027-03-13T12:00", "30 2 * * 0"),
    ("America/New_York", "2027-11-06T12:00", "30 1 * * *"),
    ("Australia/Sydney", "2027-10-02T12:00", "30 2 * * *"),
    ("Australia/Lord_Howe", "2027-10-02T12:00", "15 2 * * *"),
    ("UTC", "2027-03-27T12:00", "0 3 13 * 5"),  # either of two days
    ("UTC", "2027-03-27T12:00", "*/20 3 */2 * 1-5"),  # both of two days
    ("UTC", "2027-03-27T12:00", "*/10 30 4 * * 7"),
]


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder on the PATH for programs that this computer may lack; a function that makes one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def make(name, script):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


def only(office, cron="30 2 * * 1", timezone="UTC", name="words"):
    office.schedule(name, cron, timezone)
    with Schedules() as schedules:
        return schedules.find(name)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize(("zone", "start", "cron"), AROUND_CHANGES)
def test_systemd_understands_what_was_meant(zone, start, cron):
    """The times that systemd finds in a timer's expressions are ours, also when clocks change."""
    start = datetime.fromisoformat(start).replace(tzinfo=UTC)
    meant = checked(cron, zone)
    lines = [*systemd.calendars(meant), *systemd.changes(meant, start)]
    theirs = sorted({time for line in lines for time in systemd.elapses(line, start)})
    first = theirs[: systemd.COMPARED]
    until = datetime.fromisoformat(first[-1]).replace(tzinfo=UTC)
    ours = takewhile(lambda time: time <= until, meant.times(start))
    assert first == [f"{time:%Y-%m-%d %H:%M:%S}" for time in ours]


def test_a_timer_names_what_it_starts_and_undoes(office, programs):
    """`install --systemd` writes a timer and a service, starts the timer, and says how to undo
    that; --print only shows them."""
    programs("systemctl", f'echo "$@" >>{office.folder}/called')
    schedule = only(office, "30 2 * * *", "Europe/Berlin")
    shown = install([schedule], "systemd", only_print=True)
    assert not (office.folder / "config").exists()
    assert not (office.folder / "called").exists()
    done = install([schedule], "systemd", only_print=False)
    assert done.texts == shown.texts
    units = sorted((office.folder / "config" / "systemd" / "user").iterdir())
    service, timer = (unit.read_text() for unit in units)
    assert [str(unit) for unit in units] == sorted(shown.texts)
    assert "OnCalendar=*-*-* 02:30:00 Europe/Berlin\n" in timer
    assert re.search(r"\nOnCalendar=20\d\d-03-\d\d 01:00:00 UTC\n", timer)  # clocks jump over 02:30
    assert "Persistent=true" in timer
    name = "micro-speech-launcher-words.timer"
    assert (office.folder / "called").read_text() == (
        f"--user daemon-reload\n--user enable --now {name}\n"
    )
    assert f"to undo: systemctl --user disable --now {name}; rm " in done.done
    if shutil.which("systemd-analyze"):
        verify = ["systemd-analyze", "verify", "--user", *map(str, units)]
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(office.folder)}
        subprocess.run(verify, env=environment, check=True, capture_output=True)
    (line,) = (line for line in service.splitlines() if line.startswith("ExecStart="))
    words = shlex.split(line.removeprefix("ExecStart=").replace("%%", "%").replace("$$", "$"))
    assert words == ["/bin/sh", "-c", command(schedule)]


def test_a_systemd_that_refuses_is_quoted(office, programs):
    """Where systemctl refuses, the units stand, and the hint says what to call later."""
    programs("systemctl", "echo no bus here >&2; exit 1")
    with pytest.raises(LauncherError, match="systemctl refused: no bus here") as refused:
        install([only(office)], "systemd", only_print=False)
    assert "enable --now micro-speech-launcher-words.timer" in refused.value.hint


def test_a_crontab_keeps_its_other_lines(office, programs, monkeypatch):
    """`install --crontab` puts its line below a mark, in the place of its own earlier one, and
    leaves every other line."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "UTC")
    kept = office.folder / "kept"
    programs("crontab", f"[ $1 = - ] && exec cat >{kept}; exec cat {kept}")
    kept.write_text("0 1 * * * backup\n")
    install([only(office, "30 2 * * MON"), only(office, name="others")], "crontab", False)
    done = install([only(office, "45 2 * * MON")], "crontab", False).done
    lines = kept.read_text().splitlines()
    assert lines[0] == "0 1 * * * backup"
    assert lines[1] == "# launcher schedule others"
    assert lines[3] == "# launcher schedule words"
    assert len(lines) == 5
    assert lines[4].startswith("45 2 * * 1 (cd ")
    assert r"date -u +\%Y-\%m-\%dT" in lines[4]
    assert "to undo: crontab -e" in done


def test_a_crontab_line_that_is_not_utf8_stays_what_it_is(office, programs, monkeypatch):
    """Other lines of the crontab may be in any encoding."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "UTC")
    kept = office.folder / "kept"
    programs("crontab", f"[ $1 = - ] && exec cat >{kept}; exec cat {kept}")
    kept.write_bytes(b"# caf\xe9\n")
    install([only(office)], "crontab", False)
    assert kept.read_bytes().startswith(b"# caf\xe9\n# launcher schedule words\n")


@pytest.mark.parametrize("how", ["systemd", "crontab"])
def test_a_path_that_no_text_can_name_is_refused(office, programs, how, monkeypatch):
    """A schedule that an earlier launcher added with such a path is refused, and nothing is
    written."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "UTC")
    programs("systemctl", f"touch {office.folder}/called")
    programs("crontab", f"touch {office.folder}/called")
    schedule = only(office)
    work = replace(schedule.work, config=os.fsdecode(b"caf\xe9.toml"))
    with pytest.raises(UsageError, match=r"caf\\xe9.toml: .*UTF-8"):
        install([replace(schedule, work=work)], how, only_print=False)
    assert not (office.folder / "config").exists()
    assert not (office.folder / "called").exists()


def test_what_is_left_of_a_removed_schedule_is_told(office, programs, monkeypatch):
    """`remove` says how to undo an installed timer and a crontab line, and nothing where there is
    none or crontab fails."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "UTC")
    kept = office.folder / "kept"
    kept.touch()
    programs("systemctl", "exit 0")
    programs("crontab", f"[ $1 = - ] && exec cat >{kept}; exec cat {kept}")
    office.environment |= {name: os.environ[name] for name in ("PATH", "XDG_CONFIG_HOME")}
    schedule = only(office)
    for how in ("systemd", "crontab"):
        install([schedule], how, only_print=False)
    code, out, _ = office.run("schedule", "remove", "words")
    assert code == 0
    _, timer, line = out.splitlines()
    assert "disable --now micro-speech-launcher-words.timer; rm /" in timer
    assert line.endswith("crontab -e, and delete the line below # launcher schedule words")
    shutil.rmtree(office.folder / "config")
    programs("crontab", "exit 1")
    only(office)
    code, out, _ = office.run("schedule", "remove", "words")
    assert (code, out) == (0, "words is not scheduled any more\n")


def test_the_command_says_for_which_time_and_for_which_config(office, programs, monkeypatch):
    """What a timer or cron calls passes on the time, and what the config was when it was added."""
    programs("python", 'echo "$@"; echo $XDG_STATE_HOME; pwd')
    monkeypatch.setattr("sys.executable", str(office.folder / "bin" / "python"))
    schedule = only(office)
    called = ["/bin/sh", "-c", command(schedule)]
    done = subprocess.run(called, cwd="/", capture_output=True, text=True, check=True)
    arguments, home, folder = done.stdout.splitlines()
    *words, moment, expect, digest, as_json = arguments.split()
    assert words == ["-P", "-m", "launcher", "retrain", "words.toml", "--scheduled"]
    assert (expect, digest, as_json) == ("--expect", schedule.work.digest, "--json")
    assert (home, folder) == (os.environ["XDG_STATE_HOME"], str(office.folder))
    age = datetime.now(UTC) - datetime.fromisoformat(moment)
    assert timedelta() <= age < timedelta(minutes=3)


@pytest.mark.parametrize(
    ("cron", "written"),
    [
        ("30 2 * * MON", "30 2 * * 1"),
        ("*/30 2 * * *", "0,30 2 * * *"),
        ("0 */6 * * *", "0 0,6,12,18 * * *"),
        ("*/30 * * * *", "*/30 * * * *"),
        ("0 3 */2 JAN,JUL 1-5", "0 3 */2 1,7 1-5"),
    ],
)
def test_cron_is_told_numbers_where_stars_would_skip(cron, written):
    """Debian's cron makes up for a skipped time only where minute and hour have no star."""
    assert crontab.times(Cron(cron, "UTC")) == written


@pytest.mark.parametrize("how", ["systemd", "crontab"])
def test_what_they_cannot_say_is_refused(office, how, monkeypatch):
    """An expression that a timer or a crontab line has no words for is named."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "UTC")
    with pytest.raises(UsageError, match=r"cannot say '0 3 L \* \*'"):
        install([only(office, "0 3 L * *")], how, only_print=True)


def test_cron_is_refused_another_time_zone(office, monkeypatch):
    """Debian's cron knows only the computer's time zone: another is refused, the same under
    another name is not."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "Europe/Berlin")
    install([only(office, timezone="Europe/Paris")], "crontab", only_print=True)
    with pytest.raises(UsageError, match="knows only Europe/Berlin") as refused:
        install([only(office, timezone="America/New_York")], "crontab", only_print=True)
    assert "--systemd" in refused.value.hint
