"""Atomic files and folders."""

import resource
import signal
import subprocess
import sys

import pytest

from firmware_export import files
from firmware_export.errors import BadModel, BadOutput


def inside(folder):
    return sorted(path.name for path in folder.iterdir())


def test_write_replaces_the_file(tmp_path):
    """A file gets its new content, and no other file is left beside it."""
    path = tmp_path / "a" / "b.txt"
    files.write(path, "first")
    files.write(path, b"second")
    assert path.read_bytes() == b"second"
    assert inside(path.parent) == ["b.txt"]


def test_failed_write_keeps_the_old_file(tmp_path):
    """On a full disk the old content stays, and no part of the new one is left."""
    path = tmp_path / "model"
    files.write(path, "old")
    script = (
        "import sys; from pathlib import Path; from firmware_export import files\n"
        "files.write(Path(sys.argv[1]), b'x' * 100_000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, preexec_fn=small_files
    )
    last = done.stderr.decode().splitlines()[-1]
    assert last.endswith(f"BadOutput: {path} cannot be written: the disk is full")
    assert path.read_bytes() == b"old" and inside(tmp_path) == ["model"]


def small_files():
    """No file may grow beyond 10,000 bytes: what a full disk does, for this process alone."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))


def test_new_folder_appears_when_it_is_complete(tmp_path):
    """A folder gets its name at the end of the block, with the permissions that mkdir gives."""
    (tmp_path / "usual").mkdir()
    with files.new_folder(tmp_path / "out") as scratch:
        files.write(scratch / "a", "b")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a").read_text() == "b"
    assert inside(tmp_path) == ["out", "usual"]
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("failure", [BadModel("no"), KeyboardInterrupt(), SystemExit(130)])
def test_new_folder_leaves_nothing_after_a_failure(tmp_path, failure):
    """After any exception in the block nothing is left."""
    with pytest.raises(type(failure)), files.new_folder(tmp_path / "out") as scratch:
        files.write(scratch / "a", "b")
        raise failure
    assert inside(tmp_path) == []


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_existing_output_is_refused(tmp_path, kind):
    """An output that exists is refused by name and does not change."""
    out = tmp_path / "out"
    if kind == "folder":
        files.write(out / "precious", "data")
    elif kind == "file":
        files.write(out, "data")
    else:
        out.symlink_to("nowhere")
    with pytest.raises(BadOutput, match="out exists already"), files.new_folder(out):
        pytest.fail("the block must not run")
    assert inside(tmp_path) == ["out"]


def test_empty_output_folder_is_used(tmp_path):
    """An empty folder may be named as output."""
    (tmp_path / "out").mkdir()
    with files.new_folder(tmp_path / "out") as scratch:
        files.write(scratch / "a", "b")
    assert inside(tmp_path / "out") == ["a"]


def test_output_of_a_concurrent_export_is_kept(tmp_path):
    """Of two exports into one folder the second is refused; the first one's files stay."""
    with pytest.raises(BadOutput), files.new_folder(tmp_path / "out") as scratch:
        files.write(scratch / "a", "second")
        files.write(tmp_path / "out" / "a", "first")
    assert (tmp_path / "out" / "a").read_text() == "first"
    assert inside(tmp_path) == ["out"]


def test_output_below_a_file_is_refused(tmp_path):
    """An output below a file is refused by name."""
    files.write(tmp_path / "file", "")
    with pytest.raises(BadOutput, match="file/out cannot be created"):
        files.new_folder(tmp_path / "file" / "out").__enter__()


def test_output_with_impossible_name_is_refused(tmp_path):
    """A name that is too long for the file system is refused."""
    with pytest.raises(BadOutput, match="cannot be created"):
        files.refuse_existing(tmp_path / ("x" * 300))


def test_replaced_folder_swaps_atomically(tmp_path):
    """A folder is replaced as a whole; after a failure the old one stays."""
    path = tmp_path / "firmware"
    files.write(path / "old", "")
    with pytest.raises(BadModel), files.replaced_folder(path) as scratch:
        files.write(scratch / "half", "")
        raise BadModel("no")
    assert inside(tmp_path) == ["firmware"] and inside(path) == ["old"]
    with files.replaced_folder(path) as scratch:
        files.write(scratch / "new", "")
    assert inside(tmp_path) == ["firmware"] and inside(path) == ["new"]


def test_replaced_folder_removes_scratch_of_killed_process(tmp_path):
    """A scratch folder of a killed process does not get into the next result."""
    files.write(tmp_path / ".firmware.unfinished" / "half", "")
    with files.replaced_folder(tmp_path / "firmware") as scratch:
        files.write(scratch / "new", "")
    assert inside(tmp_path) == ["firmware"]
    assert inside(tmp_path / "firmware") == ["new"]


def test_reading_is_bounded(tmp_path):
    """A file larger than its bound, or none, is refused by name."""
    files.write(tmp_path / "big", b"x" * 11)
    with pytest.raises(BadModel, match="big has more than 10 bytes"):
        files.read(tmp_path / "big", 10)
    with pytest.raises(BadModel, match="none cannot be read: No such file"):
        files.read(tmp_path / "none", 10)
    with pytest.raises(BadModel, match="Is a directory"):
        files.read(tmp_path, 10)
