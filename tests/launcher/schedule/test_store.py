"""The store of schedules: a file for each, which several launchers may change at once."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from schedule_workspace import without_root_rights

from launcher.errors import LauncherError
from launcher.schedule import store
from launcher.schedule.schedule import ScheduledRun
from launcher.schedule.store import NoSchedule, Store


def names():
    return [schedule.name for schedule in Store().all()]


@pytest.mark.parametrize("command", ["remove", "pause", "resume"])
@pytest.mark.parametrize("name", ["wrods", "../words", ""])
def test_unknown_name_is_refused_with_the_known_names(workspace, command, name):
    """A schedule that does not exist is an error that names those that do."""
    workspace.add_schedule("words")
    (store.folder().parent / "words.json").write_bytes(store.path("words").read_bytes())
    with pytest.raises(NoSchedule) as refused:
        getattr(Store(), command)(name)
    assert f"no schedule {name!r}" in str(refused.value) and "words" in refused.value.hint


def test_schedules_added_at_once_are_all_stored(workspace):
    """Launchers that make the store and add to it at the same moment all find their schedule."""
    expected = [f"words-{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(workspace.add_schedule, expected))
    assert names() == expected
    files = sorted(path.name for path in store.folder().iterdir())
    assert files == ["lock", *(f"{name}.json" for name in expected)]


def test_changes_by_several_processes_are_all_kept(workspace):
    """Of changes to one schedule at the same moment, by several launchers, none is lost."""
    workspace.add_schedule("words")
    moments = [datetime(2026, 11, day, tzinfo=UTC) for day in range(1, 21)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda moment: Store().record(ScheduledRun("words", moment)), moments))
    assert [run.scheduled for run in Store().open_runs()] == moments


def test_reading_schedules_changes_nothing(workspace):
    """What is due while somebody lists or finds schedules is still due afterwards."""
    workspace.add_schedule("words")
    moment = workspace.make_due("words")
    for _ in range(2):
        assert Store().all() == [Store().find("words")]
        assert Store().find("words").next.isoformat() == moment


def test_list_without_schedules_makes_no_files(workspace):
    """`list` before the first `add` leaves no folder."""
    assert names() == []
    assert not store.folder().exists()


def overwrite(content):
    return b"not a schedule" * 100


def empty(content):
    return b""


def cut(content):
    return content[: len(content) // 2]


def randomize(content):
    return content[:20] + os.urandom(40) + content[60:]


def remove_key(content):
    return json.dumps({k: v for k, v in json.loads(content).items() if k != "runs"}).encode()


def use_wrong_type(content):
    return content.replace(b'"runs": []', b'"runs": [{"tries": "1"}]')


def use_wrong_cron(content):
    return content.replace(b"0 0 1 1 *", b"0 0 99 1 *")


def use_newer_format(content):
    return content.replace(b'"format": 1', b'"format": 2')


@pytest.mark.parametrize(
    "damage",
    [
        *(overwrite, empty, cut, randomize),
        *(remove_key, use_wrong_type, use_wrong_cron, use_newer_format),
    ],
)
def test_damaged_schedule_is_copied_and_refused(workspace, damage):
    """A file that is damaged is named, copied once, and not replaced; a good file in its place, or
    its deletion, ends the error."""
    workspace.add_schedule("words")
    file = store.path("words")
    good = file.read_bytes()
    damaged = damage(good)
    assert damaged != good
    file.write_bytes(damaged)
    for call in (workspace.add_schedule, workspace.make_due):
        with pytest.raises(LauncherError) as refused:
            call("words")
        assert f"{file} is damaged" in str(refused.value)
        assert "delete" in refused.value.hint
        assert "\n" not in str(refused.value)
    (copy,) = store.folder().glob("words.json.damaged-*")
    assert str(copy) in str(refused.value)
    assert copy.read_bytes() == damaged == file.read_bytes()
    with pytest.raises(LauncherError, match="is damaged"):
        names()
    file.write_bytes(good)
    assert names() == ["words"]
    file.unlink()
    assert names() == []


def test_schedules_of_an_older_launcher_are_refused(workspace):
    """A schedules.sqlite of an older launcher is named in one sentence, with what to do, by every
    command and by a scheduler."""
    store.folder().parent.mkdir(parents=True)
    old = store.folder().parent / "schedules.sqlite"
    old.touch()
    for command in ("list", "run"):
        code, _, err = workspace.run("schedule", command)
        assert code == 1
        assert f"error: {old} has the schedules of an older launcher" in err
        assert f"hint: delete it and {store.folder()}, then add each schedule again" in err
    old.unlink()
    assert names() == []


def test_schedule_that_cannot_be_read_is_named_with_the_reason(workspace):
    """A folder in place of a schedule's file, or a file of another user, is one sentence."""
    workspace.add_schedule("words")
    file = store.path("words")
    file.chmod(0)
    command = [*without_root_rights(), sys.executable, "-P", "-m", "launcher", "schedule", "list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, f"error: {file}: Permission denied\n")
    file.unlink()
    file.mkdir()
    code, _, err = workspace.run("schedule", "list")
    assert (code, err) == (1, f"error: {file}: Is a directory\n")


def test_add_on_a_full_disk_is_refused_and_changes_nothing(workspace):
    """On a full disk `add` is refused with one sentence, and earlier schedules remain."""
    home = store.folder().parent
    home.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(home)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        workspace.add_schedule("words")
        (home / "ballast").write_bytes(b"x" * (36 << 10))
        with pytest.raises(LauncherError, match="cannot be written: No space left on device"):
            for number in range(40):
                workspace.add_schedule(f"more-{number}")
        assert "words" in names()
        assert list(store.folder().glob("*damaged*")) == []
        (home / "ballast").unlink()
        workspace.add_schedule("others")
    finally:
        subprocess.run(["umount", str(home)], check=True)
