"""What every backend's machines must do; run for each backend, with binary data."""

import contextlib
import time
from pathlib import Path

import pytest


def test_a_command_gives_its_code_and_its_bytes(machine):
    """Exit code, standard output and standard error come back unchanged."""
    done = machine.run(r"printf 'a\0\377\r\n'; printf b >&2; exit 7", timeout=10)
    assert (done.code, done.stdout, done.stderr) == (7, b"a\0\xff\r\n", b"b")


def test_a_command_out_of_time_is_ended(machine):
    """A command that takes too long raises TimeoutError, and neither it nor its child goes on."""
    with pytest.raises(TimeoutError):
        machine.run("(sleep 3; touch late) & sleep 60", timeout=0.5)
    time.sleep(3)
    assert machine.run("test -e late", timeout=10).code == 1


def test_a_command_that_leaves_a_child_behind_is_ended(machine):
    """A child that outlives its shell and keeps the pipes open ends with the time allowed."""
    with pytest.raises(TimeoutError):
        machine.run("(sleep 2; touch late) &", timeout=0.5)
    time.sleep(2)
    assert machine.run("test -e late", timeout=10).code == 1


def test_what_a_command_leaves_among_temporary_files_goes_too(backend, machine, zone):
    """Temporary files of an ended command go with its machine."""
    left = machine.run("mktemp", timeout=10).stdout.decode().strip()
    backend.delete(machine.name, zone)
    assert left and not Path(left).exists()


def test_a_file_goes_there_and_back(machine, binary, tmp_path):
    """A file keeps its bytes on both ways, and a second put replaces it."""
    (tmp_path / "here").write_bytes(b"old")
    machine.put(tmp_path / "here", "sub/there")
    (tmp_path / "here").write_bytes(binary)
    machine.put(tmp_path / "here", "sub/there")
    machine.get("sub/there", tmp_path / "back", limit=len(binary))
    assert (tmp_path / "back").read_bytes() == binary


def test_a_folder_goes_there(machine, binary, tmp_path):
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
def test_only_plain_files_within_their_bound_are_taken(machine, tmp_path, make, error):
    """What is absent, too large or no plain file is refused, and nothing is written here."""
    machine.run(make, timeout=10)
    with pytest.raises(error):
        machine.get("wanted", tmp_path / "back", limit=10)
    assert not (tmp_path / "back").exists()


def test_creating_twice_gives_the_same_machine(backend, machine, spec):
    """A request that is repeated makes no second machine."""
    machine.run("touch mark", timeout=10)
    with contextlib.closing(backend.create(spec())) as again:
        assert again.run("test -e mark", timeout=10).code == 0
    assert [rental.name for rental in backend.list_machines()] == [machine.name]


def test_a_machine_is_found_by_its_labels(backend, machine, tmp_path):
    """A machine whose ledger is lost still says which job it was for, and how old it is."""
    (rental,) = backend.list_machines()
    assert rental.labels["job"] == "words-1"
    assert rental.folder == str(tmp_path / "words-1")
    assert 0 <= time.time() - rental.created < 60


def test_a_machine_that_is_not_there_cannot_be_attached(backend, machine, spec):
    """Attaching finds what exists and nothing else."""
    with contextlib.closing(backend.connect(spec())) as again:
        assert again.name == machine.name
    assert backend.termination_reason(spec()) == ""
    assert backend.connect(spec("words-2-cd")) is None
    assert "words-2-cd" in backend.termination_reason(spec("words-2-cd"))


def test_deletion_ends_every_process(backend, machine, spec, zone):
    """A deleted machine leaves neither its folder nor a process, even one that ran away."""
    machine.run(
        "setsid -f bash -c 'trap : TERM; while :; do sleep 0.1; done' >/dev/null 2>&1", timeout=10
    )
    assert machine.name in backend.delete(machine.name, zone)
    assert backend.list_machines() == []
    assert backend.connect(spec()) is None


def test_deleting_again_is_no_error(backend, machine, zone):
    """A deletion may be repeated, also after it was carried out."""
    backend.delete(machine.name, zone)
    backend.delete(machine.name, zone)
