"""The recordings of a data folder, compared by their content."""

import os
import shutil
import time
from pathlib import Path

import pytest

from launcher.config import loading as configs
from launcher.console import Screen
from launcher.errors import ConfigError
from launcher.retrain import digests, fingerprint, pipeline, recordings
from launcher.retrain.events import RunBegun, RunEnded, Verdict
from launcher.retrain.history import History

MODEL = Path("models/words")
CACHE = MODEL / recordings.FOLDER / recordings.CACHE
NAMES = ("no/anna/1.flac", "yes/1.wav", "yes/2.wav", "yes/list.csv")


@pytest.fixture
def folder(here):
    """A data folder of four files, in several depths."""
    for name in NAMES:
        (here / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "clips" / name).write_bytes(name.encode())
    return here / "clips"


@pytest.fixture
def later(monkeypatch):
    """A clock three seconds ahead: what was just written was written long ago."""
    now = time.time_ns
    monkeypatch.setattr(digests.time, "time_ns", lambda: now() + 3_000_000_000)


@pytest.fixture
def reads(monkeypatch):
    """The names of files that are read."""
    names, describe = [], digests.files.describe
    monkeypatch.setattr(
        digests.files, "describe", lambda path: names.append(path.name) or describe(path)
    )
    return names


def read(folder, screen=None):
    """The list of the recordings in a folder."""
    return recordings.read(folder, recordings.scan(folder), MODEL, screen)


def described(folder, change):
    """What is said of a change to a folder; "" if its recordings are the same."""
    before = read(folder)
    change()
    after = read(folder)
    same = recordings.digest(before) == recordings.digest(after)
    return "" if same else recordings.describe_changes(before, after)


def touch(folder):
    """Give every file the time of now."""
    for name in NAMES:
        os.utime(folder / name)


def replace(folder):
    """Write another content of equal size and time into a file."""
    path = folder / "yes/1.wav"
    before = path.stat()
    path.write_bytes(path.read_bytes().swapcase())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def replace_by_copy(folder):
    """Put another file of equal size and time in a file's place, as rsync does."""
    path = folder / "yes/1.wav"
    other = folder.parent / "other"
    other.write_bytes(path.read_bytes().swapcase())
    shutil.copystat(path, other)
    other.replace(path)


def copy(folder):
    """Copy the folder without times, as git clone does, in place of the original."""
    shutil.copytree(folder, folder.parent / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(folder)
    (folder.parent / "copy").rename(folder)


@pytest.mark.parametrize("change", [touch, copy], ids=lambda change: change.__name__)
def test_same_content_with_other_times_is_no_change(folder, later, change):
    """Touched and copied recordings of the same content are the same."""
    assert described(folder, lambda: change(folder)) == ""


@pytest.mark.parametrize("change", [replace, replace_by_copy], ids=lambda change: change.__name__)
def test_other_content_of_equal_size_and_time_is_a_change(folder, later, change):
    """A clip that is replaced by another of equal size and modification time is changed."""
    said = described(folder, lambda: change(folder))
    assert said == "recordings: 1 changed (yes/1.wav)"


def test_renamed_recordings_are_said_with_both_names(folder):
    """A file that was renamed or moved is neither added nor removed; a copy of one is added."""

    def change():
        (folder / "yes/1.wav").rename(folder / "no/9.wav")
        shutil.copy(folder / "yes/2.wav", folder / "no/2.wav")
        shutil.copy(folder / "yes/2.wav", folder / "no/3.wav")

    said = described(folder, change)
    assert said == "recordings: 2 added (no/2.wav, …), 1 renamed (yes/1.wav → no/9.wav)"


def test_all_files_in_any_depth_count_except_hidden_ones(folder):
    """Recordings of any container and lists count, in any depth; hidden files do not."""
    for name in (".git/a.wav", "yes/.a.wav", "yes/.cache/a.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"RIFF")
    os.mkfifo(folder / "yes/pipe.wav")  # who reads it waits forever
    assert tuple(read(folder)) == NAMES


def test_links_count_by_their_content_and_loops_end(folder, here):
    """A link's content counts, in the folder or outside; a link to a folder above is left out."""
    (here / "outside.wav").write_bytes(b"yes/1.wav")
    (folder / "yes/3.wav").symlink_to(here / "outside.wav")
    (folder / "no/above").symlink_to(folder)
    (folder / "ja").symlink_to(folder / "yes")
    found = read(folder)
    assert found["yes/3.wav"] == found["yes/1.wav"] == found["ja/1.wav"]
    assert sorted(found.keys() - {*NAMES}) == [
        *("ja/1.wav", "ja/2.wav", "ja/3.wav", "ja/list.csv", "yes/3.wav")
    ]


def test_unchanged_files_are_not_read_again(folder, later, reads):
    """A second list reads no file; after a touch it reads that file alone."""
    read(folder)
    assert len(reads) == len(NAMES)
    read(folder)
    os.utime(folder / "yes/2.wav")
    read(folder)
    assert reads[len(NAMES) :] == ["2.wav"]


def test_files_changed_just_before_they_are_read_are_read_again(folder, reads):
    """Within the clock of a file system, a file can change again and keep its time: it is read
    again until its time is old enough."""
    assert read(folder) == read(folder)
    assert len(reads) == 2 * len(NAMES)


def test_removed_files_leave_the_cache(folder, later):
    """The cache holds no file that is gone."""
    read(folder)
    (folder / "yes/2.wav").unlink()
    read(folder)
    assert b"yes/1.wav" in CACHE.read_bytes() and b"yes/2.wav" not in CACHE.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text[:-6] + bytes([text[-6] ^ 1]) + text[-5:],  # a digit of a digest
        lambda text: text.replace(b"digests 1", b"digests 2", 1),
        lambda text: b"",
        lambda text: b"\xff{}\n" + text,
    ],
    ids=["cut", "one bit", "other format", "empty", "not text"],
)
def test_damaged_cache_is_made_again(folder, later, reads, damage):
    """With a cache that is damaged or of another format all files are read, and are the same."""
    before = read(folder)
    CACHE.write_bytes(damage(CACHE.read_bytes()))
    assert read(folder) == before
    assert len(reads) == 2 * len(NAMES)
    read(folder)
    assert len(reads) == 2 * len(NAMES)


def test_cache_that_cannot_be_written_costs_a_read_alone(folder, later):
    """The list does not depend on the cache."""
    before = read(folder)
    CACHE.unlink()
    CACHE.mkdir()
    assert read(folder) == before


def test_file_that_vanishes_is_named_and_the_rest_is_not_read_twice(folder, later, reads):
    """A file that is gone once it is read is one sentence; what was read before it is cached."""
    found = recordings.scan(folder)
    (folder / "yes/2.wav").rename(folder.parent / "2.wav")
    with pytest.raises(ConfigError, match=r"^data.folder: .*yes/2.wav cannot be read: No such fil"):
        recordings.read(folder, found, MODEL)
    (folder.parent / "2.wav").rename(folder / "yes/2.wav")
    reads.clear()
    read(folder)
    assert reads == ["2.wav", "list.csv"]


def test_interrupted_reading_continues_where_it_stopped(folder, later, monkeypatch, reads):
    """After a Ctrl-C while files are read, the next list reads the rest."""
    with monkeypatch.context() as patch:
        describe = digests.files.describe

        def interrupted(path):
            if path.name == "2.wav":
                raise KeyboardInterrupt
            return describe(path)

        patch.setattr(digests.files, "describe", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read(folder)
    reads.clear()
    assert tuple(read(folder)) == NAMES
    assert reads == ["2.wav", "list.csv"]


def test_progress_is_shown_only_while_files_are_read(folder, later):
    """A list shows how many files are read; one that reads none shows nothing."""
    shown = []

    class Shown(Screen):
        def phase(self, name):
            shown.append(name)

        def progress(self, what, done, total, note=""):
            shown.append((what, done, total))

    read(folder, Shown())
    assert shown == ["read recordings", *(("files", done, 4) for done in (1, 2, 3, 4))]
    shown.clear()
    read(folder, Shown())
    assert shown == []


def test_saved_list_that_is_damaged_is_lost(folder):
    """A saved list whose content is not that of its digest is not compared with."""
    listing = read(folder)
    recordings.save(MODEL, listing)
    (path,) = (MODEL / recordings.FOLDER).glob("*.json")
    assert recordings.load(MODEL, recordings.digest(listing)) == listing
    path.write_bytes(path.read_bytes().replace(b"yes/1.wav", b"yes/7.wav"))
    assert recordings.load(MODEL, recordings.digest(listing)) is None


def test_touched_recordings_are_not_trained_again(folder, later):
    """After a touch of every file, `launcher retrain` says that nothing changed."""
    toml = Path("words.toml")
    toml.write_text('words.wanted = ["yes", "no"]\ndata.folder = "clips"\n')
    config = configs.load(toml)
    with History.lock("words") as past:
        past.add(RunBegun(1, fingerprint.take(config, read(folder)), ()))
        past.add(RunEnded(1, Verdict.KEPT))
    touch(folder)
    assert pipeline.retrain(toml, screen=Screen())["verdict"] == "unchanged"
