"""The store of schedules: the only truth, never begun anew unasked."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from office import ordinary

from launcher.errors import LauncherError, UsageError
from launcher.schedule import store
from launcher.schedule.store import Schedules


def names():
    with Schedules() as schedules:
        return [schedule.name for schedule in schedules.all()]


@pytest.mark.parametrize("command", ["remove", "pause", "resume"])
def test_an_unknown_name_is_answered_with_the_known_ones(office, command):
    """A schedule that does not exist is an error that names those that do."""
    office.schedule("words")
    with Schedules() as schedules, pytest.raises(UsageError) as refused:
        getattr(schedules, command)("wrods")
    assert "no schedule 'wrods'" in str(refused.value) and "words" in refused.value.hint


def test_of_schedules_added_at_once_none_is_lost(office):
    """Launchers that make the store and add to it at the same moment all find their schedule."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(office.schedule, [f"words-{number}" for number in range(6)]))
    assert names() == [f"words-{number}" for number in range(6)]
    assert [path.name for path in store.path().parent.glob(".*")] == []


def test_looking_at_schedules_starts_none(office):
    """What is due while somebody lists or changes schedules is still due afterwards."""
    office.schedule("words")
    moment = office.let_be_due("words")
    with Schedules() as schedules:
        assert schedules.find("words").due.isoformat() == moment
    with Schedules() as schedules:
        assert schedules.find("words").due.isoformat() == moment


def overwritten(path):
    path.write_bytes(b"not a database" * 100)


def emptied(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def struck(path):
    content = bytearray(path.read_bytes())
    content[4096:8192] = os.urandom(4096)
    path.write_bytes(content)


def without_runs(path):
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE runs")


def of_a_newer_launcher(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE apscheduler_jobs SET job_state = ?", (b"\x80\x05cnew\nName\n.",))


@pytest.mark.parametrize(
    "damage", [overwritten, emptied, cut, struck, without_runs, of_a_newer_launcher]
)
def test_a_damaged_store_is_kept_and_refused(office, damage):
    """A store that is damaged is named, copied once, and nothing is begun anew; whoever puts a
    good one in its place, or deletes it, goes on."""
    office.schedule("words")
    good = store.path().read_bytes()
    damage(store.path())
    damaged = store.path().read_bytes()
    for _ in range(2):
        with pytest.raises(LauncherError) as refused:
            office.schedule("others")
        assert f"{store.path()} is damaged" in str(refused.value)
        assert "delete" in refused.value.hint
        assert "\n" not in str(refused.value)
    (copy,) = store.path().parent.glob("schedules.damaged-*.sqlite")
    assert str(copy) in str(refused.value)
    assert copy.read_bytes() == damaged == store.path().read_bytes()
    store.path().write_bytes(good)
    assert names() == ["words"]
    store.path().unlink()
    assert names() == []


def test_a_store_that_cannot_be_opened_is_named_with_the_reason(office):
    """A folder in the place of the store, or a store of somebody else's, is one sentence."""
    office.schedule("words")
    file = store.path()
    file.chmod(0)
    command = [*ordinary(), sys.executable, "-P", "-m", "launcher", "schedule", "list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, f"error: {file}: Permission denied\n")
    file.unlink()
    file.mkdir()
    code, _, err = office.run("schedule", "list")
    assert (code, err) == (1, f"error: {file}: Is a directory\n")


def test_a_full_disk_changes_nothing_and_says_so(office):
    """On a full disk `add` is refused with one sentence, and what was there is still there."""
    home = store.path().parent
    home.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(home)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        office.schedule("words")
        (home / "ballast").write_bytes(b"x" * (36 << 10))
        with pytest.raises(LauncherError, match="no space left on its disk"):
            for number in range(40):
                office.schedule(f"more-{number}")
        assert "words" in names()
        assert list(home.glob("*damaged*")) == []
        (home / "ballast").unlink()
        office.schedule("others")
    finally:
        subprocess.run(["umount", str(home)], check=True)
