"""The contract of machines and backends, tested for each backend with binary data."""

import contextlib
import time
from pathlib import Path

import pytest


def test_run_returns_exit_code_and_bytes(machine):
    """Exit code, standard output and standard error are unchanged."""
    done = machine.run(r"printf 'a\0\377\r\n'; printf b >&2; exit 7", timeout=10)
    assert (done.code, done.stdout, done.stderr) == (7, b"a\0\xff\r\n", b"b")


def test_run_timeout_kills_the_command_and_its_child(machine):
    """A command that takes too long raises TimeoutError; it and its child are killed."""
    with pytest.raises(TimeoutError):
        machine.run("(sleep 3; touch late) & sleep 60", timeout=0.5)
    time.sleep(3)
    assert machine.run("test -e late", timeout=10).code == 1


def test_run_timeout_kills_a_child_in_the_background(machine):
    """A child that keeps the outputs of its ended shell open is killed after the timeout."""
    with pytest.raises(TimeoutError):
        machine.run("(sleep 2; touch late) &", timeout=0.5)
    time.sleep(2)
    assert machine.run("test -e late", timeout=10).code == 1


def test_delete_removes_temporary_files(backend, machine, zone):
    """Temporary files of a command are deleted with its machine."""
    path = machine.run("mktemp", timeout=10).stdout.decode().strip()
    backend.delete(machine.name, zone)
    assert path and not Path(path).exists()


def test_file_is_unchanged_after_put_and_get(machine, binary, tmp_path):
    """A file keeps its bytes in both directions, and a second put replaces it."""
    (tmp_path / "here").write_bytes(b"old")
    machine.put(tmp_path / "here", "sub/there")
    (tmp_path / "here").write_bytes(binary)
    machine.put(tmp_path / "here", "sub/there")
    machine.get("sub/there", tmp_path / "back", limit=len(binary))
    assert (tmp_path / "back").read_bytes() == binary


def test_put_folder_replaces_the_old_one(machine, binary, tmp_path):
    """A folder arrives with everything below it, and replaces what was there."""
    (tmp_path / "clips" / "yes").mkdir(parents=True)
    (tmp_path / "clips" / "yes" / "a.wav").write_bytes(binary)
    machine.run("mkdir data && touch data/stale", timeout=10)
    machine.put(tmp_path / "clips", "data")
    done = machine.run("cat data/yes/a.wav; test ! -e data/stale", timeout=10)
    assert (done.code, done.stdout) == (0, binary)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        ("true", FileNotFoundError),
        ("head -c 11 /dev/zero >wanted", ValueError),
        ("mkdir wanted", ValueError),
        ("mkfifo wanted", ValueError),
        ("echo secret >other; ln -s other wanted", ValueError),
    ],
    ids=["absent", "too large", "folder", "pipe", "link"],
)
def test_get_refuses_all_but_plain_files_within_the_limit(machine, tmp_path, make, error):
    """What is absent, too large or no plain file is refused, and nothing is written."""
    machine.run(make, timeout=10)
    with pytest.raises(error):
        machine.get("wanted", tmp_path / "back", limit=10)
    assert not (tmp_path / "back").exists()


def test_get_follows_no_link_of_a_folder(machine, tmp_path):
    """A file behind a link of a folder is refused as a link of a file is."""
    machine.run("mkdir real; echo secret >real/wanted; ln -s real link", timeout=10)
    machine.get("real/wanted", tmp_path / "back", limit=10)
    with pytest.raises(ValueError, match="no plain file"):
        machine.get("link/wanted", tmp_path / "other", limit=10)
    assert not (tmp_path / "other").exists()


def test_create_twice_gives_the_same_machine(backend, machine, spec):
    """A repeated request creates no second machine."""
    machine.run("touch mark", timeout=10)
    with contextlib.closing(backend.create(spec())) as again:
        assert again.run("test -e mark", timeout=10).code == 0
    assert [found.name for found in backend.list_machines().machines] == [machine.name]


def test_listed_machine_has_its_job_folder_and_age(backend, machine, tmp_path):
    """A listed machine has job, folder and age, also where its ledger is lost."""
    (found,) = backend.list_machines().machines
    assert found.labels["job"] == "words-1"
    assert found.folder == str(tmp_path / "words-1")
    assert 0 <= time.time() - found.created < 60


def test_connect_finds_only_an_existing_machine(backend, machine, spec):
    """`connect` finds the machine of its spec, and None where there is no such machine."""
    with contextlib.closing(backend.connect(spec())) as again:
        assert again.name == machine.name
    assert backend.termination_reason(spec()) == ""
    assert backend.connect(spec("words-2-cd")) is None
    assert "words-2-cd" in backend.termination_reason(spec("words-2-cd"))


def test_delete_ends_every_process(backend, machine, spec, zone):
    """A deleted machine leaves neither its folder nor a process, not even a detached one."""
    machine.run(
        "setsid -f bash -c 'trap : TERM; while :; do sleep 0.1; done' >/dev/null 2>&1", timeout=10
    )
    assert machine.name in backend.delete(machine.name, zone)
    assert backend.list_machines().machines == []
    assert backend.connect(spec()) is None


def test_delete_may_be_repeated(backend, machine, zone):
    """A deletion of a machine that no longer exists is no error."""
    backend.delete(machine.name, zone)
    backend.delete(machine.name, zone)
