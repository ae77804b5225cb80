"""Schedules that systemd or cron start: the files, and that their times are ours."""

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
from launcher.schedule.cron import Cron, parse
from launcher.schedule.install import command, install
from launcher.schedule.store import Store

# A moment before a clock change, and an expression.
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
    """A function that puts a program on the PATH, for programs that this computer may lack."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def make(name, script):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


def add(workspace, cron="30 2 * * 1", timezone="UTC", name="words"):
    workspace.add_schedule(name, cron, timezone)
    return Store().find(name)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize(("zone", "start", "cron"), AROUND_CHANGES)
def test_systemd_reads_the_times_that_we_compute(zone, start, cron):
    """The times that systemd reads from a timer are ours, also when clocks change."""
    start = datetime.fromisoformat(start).replace(tzinfo=UTC)
    meant = parse(cron, zone)
    lines = [*systemd.calendars(meant), *systemd.changes(meant, start)]
    systemd_times = sorted({time for line in lines for time in systemd.elapses(line, start)})
    first = systemd_times[: systemd.COMPARED]
    until = datetime.fromisoformat(first[-1]).replace(tzinfo=UTC)
    ours = takewhile(lambda time: time <= until, meant.times(start))
    assert first == [f"{time:%Y-%m-%d %H:%M:%S}" for time in ours]


def test_install_systemd_writes_and_starts_a_timer(workspace, programs):
    """`install --systemd` writes a timer and a service, starts the timer, and prints how to undo
    that; --print only prints the files."""
    programs("systemctl", f'echo "$@" >>{workspace.folder}/called')
    schedule = add(workspace, "30 2 * * *", "Europe/Berlin")
    shown = install([schedule], "systemd", only_print=True)
    assert not (workspace.folder / "config").exists()
    assert not (workspace.folder / "called").exists()
    done = install([schedule], "systemd", only_print=False)
    assert done.texts == shown.texts
    units = sorted((workspace.folder / "config" / "systemd" / "user").iterdir())
    service, timer = (unit.read_text() for unit in units)
    assert [str(unit) for unit in units] == sorted(shown.texts)
    assert "OnCalendar=*-*-* 02:30:00 Europe/Berlin\n" in timer
    assert re.search(r"\nOnCalendar=20\d\d-03-\d\d 01:00:00 UTC\n", timer)  # 02:30 does not exist
    assert "Persistent=true" in timer
    name = "micro-speech-launcher-words.timer"
    assert (workspace.folder / "called").read_text() == (
        f"--user daemon-reload\n--user enable --now {name}\n"
    )
    assert f"to undo: systemctl --user disable --now {name}; rm " in done.summary
    if shutil.which("systemd-analyze"):
        verify = ["systemd-analyze", "verify", "--user", *map(str, units)]
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(workspace.folder)}
        subprocess.run(verify, env=environment, check=True, capture_output=True)
    (line,) = (line for line in service.splitlines() if line.startswith("ExecStart="))
    words = shlex.split(line.removeprefix("ExecStart=").replace("%%", "%").replace("$$", "$"))
    assert words == ["/bin/sh", "-c", command(schedule)]


def test_error_of_systemctl_is_quoted(workspace, programs):
    """If systemctl fails, the units stay, and the hint has the command for later."""
    programs("systemctl", "echo no bus here >&2; exit 1")
    with pytest.raises(LauncherError, match="systemctl failed: no bus here") as refused:
        install([add(workspace)], "systemd", only_print=False)
    assert "enable --now micro-speech-launcher-words.timer" in refused.value.hint


def test_install_crontab_keeps_other_lines(workspace, programs, monkeypatch):
    """`install --crontab` adds a marked line, replaces its own earlier one, and keeps every other
    line."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "UTC")
    kept = workspace.folder / "kept"
    programs("crontab", f"[ $1 = - ] && exec cat >{kept}; exec cat {kept}")
    kept.write_text("0 1 * * * backup\n")
    install([add(workspace, "30 2 * * MON"), add(workspace, name="others")], "crontab", False)
    done = install([add(workspace, "45 2 * * MON")], "crontab", False).summary
    lines = kept.read_text().splitlines()
    assert lines[0] == "0 1 * * * backup"
    assert lines[1] == "# launcher schedule others"
    assert lines[3] == "# launcher schedule words"
    assert len(lines) == 5
    assert lines[4].startswith("45 2 * * 1 (cd ")
    assert r"date -u +\%Y-\%m-\%dT" in lines[4]
    assert "to undo: crontab -e" in done


def test_install_crontab_keeps_lines_that_are_not_utf8(workspace, programs, monkeypatch):
    """Other lines of the crontab may have any encoding."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "UTC")
    kept = workspace.folder / "kept"
    programs("crontab", f"[ $1 = - ] && exec cat >{kept}; exec cat {kept}")
    kept.write_bytes(b"# caf\xe9\n")
    install([add(workspace)], "crontab", False)
    assert kept.read_bytes().startswith(b"# caf\xe9\n# launcher schedule words\n")


@pytest.mark.parametrize("how", ["systemd", "crontab"])
def test_install_refuses_a_path_that_is_not_utf8(workspace, programs, how, monkeypatch):
    """A schedule with a path that no text file can hold is refused, and nothing is written."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "UTC")
    programs("systemctl", f"touch {workspace.folder}/called")
    programs("crontab", f"touch {workspace.folder}/called")
    schedule = add(workspace)
    target = replace(schedule.target, config=os.fsdecode(b"caf\xe9.toml"))
    with pytest.raises(UsageError, match=r"caf\\xe9.toml: .*UTF-8"):
        install([replace(schedule, target=target)], how, only_print=False)
    assert not (workspace.folder / "config").exists()
    assert not (workspace.folder / "called").exists()


def test_remove_names_an_installed_timer_and_crontab_line(workspace, programs, monkeypatch):
    """`remove` prints how to undo an installed timer and a crontab line, and nothing if there is
    none or crontab fails."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "UTC")
    kept = workspace.folder / "kept"
    kept.touch()
    programs("systemctl", "exit 0")
    programs("crontab", f"[ $1 = - ] && exec cat >{kept}; exec cat {kept}")
    workspace.environment |= {name: os.environ[name] for name in ("PATH", "XDG_CONFIG_HOME")}
    schedule = add(workspace)
    for how in ("systemd", "crontab"):
        install([schedule], how, only_print=False)
    code, out, _ = workspace.run("schedule", "remove", "words")
    assert code == 0
    _, timer, line = out.splitlines()
    assert "disable --now micro-speech-launcher-words.timer; rm /" in timer
    assert line.endswith("crontab -e, and delete the line below # launcher schedule words")
    shutil.rmtree(workspace.folder / "config")
    programs("crontab", "exit 1")
    add(workspace)
    code, out, _ = workspace.run("schedule", "remove", "words")
    assert (code, out) == (0, "removed words\n")


def test_command_passes_time_and_config_digest(workspace, programs, monkeypatch):
    """The command of a timer or crontab line passes the time, and the digest of the config."""
    programs("python", 'echo "$@"; echo $XDG_STATE_HOME; pwd')
    monkeypatch.setattr("sys.executable", str(workspace.folder / "bin" / "python"))
    schedule = add(workspace)
    called = ["/bin/sh", "-c", command(schedule)]
    done = subprocess.run(called, cwd="/", capture_output=True, text=True, check=True)
    arguments, home, folder = done.stdout.splitlines()
    *words, moment, expect, digest, as_json = arguments.split()
    assert words == ["-P", "-m", "launcher", "retrain", "words.toml", "--scheduled"]
    assert (expect, digest, as_json) == ("--expect", schedule.target.digest, "--json")
    assert (home, folder) == (os.environ["XDG_STATE_HOME"], str(workspace.folder))
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
def test_crontab_line_has_numbers_instead_of_steps(cron, written):
    """Debian's cron handles clock changes only if minute and hour have no star."""
    assert crontab.times(Cron(cron, "UTC")) == written


@pytest.mark.parametrize("how", ["systemd", "crontab"])
def test_install_refuses_an_unsupported_expression(workspace, how, monkeypatch):
    """An expression that systemd or cron does not support is named."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "UTC")
    with pytest.raises(UsageError, match=r"does not support '0 3 L \* \*'"):
        install([add(workspace, "0 3 L * *")], how, only_print=True)


def test_install_crontab_refuses_another_timezone(workspace, monkeypatch):
    """Debian's cron supports only the computer's time zone: another is refused, an equal one with
    another name is not."""
    monkeypatch.setattr(crontab, "local_timezone", lambda: "Europe/Berlin")
    install([add(workspace, timezone="Europe/Paris")], "crontab", only_print=True)
    with pytest.raises(UsageError, match="supports only this computer's, Europe/Berlin") as refused:
        install([add(workspace, timezone="America/New_York")], "crontab", only_print=True)
    assert "--systemd" in refused.value.hint
