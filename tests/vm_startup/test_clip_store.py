"""Clips are decoded once, and a partly written block never counts as complete."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from vm_startup.speech_commands.data.clip_store import FORMAT, notes, store
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.synthetic.source import SyntheticSource

BLOCK, BLOCKS = 6, 20
ROOT = Path(__file__).parents[2]


class NumberedSource:
    """Every sample of clip i is i; reads are logged and may be slow."""

    reading = "Reading clips"

    def __init__(self, log, seconds=0.0):
        self.log, self.seconds = log, seconds

    def key(self):
        return "numbered"

    def blocks(self):
        return [range(i * BLOCK, (i + 1) * BLOCK) for i in range(BLOCKS)]

    @contextmanager
    def reader(self):
        yield self.read

    def read(self, block):
        with self.log.open("a") as log:
            log.write(f"{block.start}\n")
        for i in block:
            yield np.full((1, 16_000), i, np.int16), [i]
            time.sleep(self.seconds)

    def was_read(self):
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def source(tmp_path):
    return NumberedSource(tmp_path / "log")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def check(stored):
    """Assert that every clip is right."""
    assert stored.audio.dtype == np.int16
    assert len(stored.rows) == BLOCK * BLOCKS
    assert (stored.audio[stored.rows] == np.arange(BLOCK * BLOCKS)[:, np.newaxis]).all()
    assert stored.notes == list(range(BLOCK * BLOCKS))


def start(program, *arguments, **more):
    """Start a Python program with this module's names."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    code += "from tests.vm_startup.test_clip_store import *\n" + program
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **more)


def test_clips_are_read_once(source, cache):
    """A second run maps the stored clips and reads nothing."""
    check(store(source, cache))
    assert len(source.was_read()) == BLOCKS
    check(store(source, cache))
    assert len(source.was_read()) == BLOCKS


def test_store_resumes_after_sigkill(source, cache):
    """Complete blocks are not read again after a kill at any time, others are."""
    slow = "store(NumberedSource(Path(sys.argv[1]), 0.01), Path(sys.argv[2]))"
    kills, rng = 5, random.Random(time.time())
    for _ in range(kills):
        process = start(slow, source.log, cache)
        before, deadline = len(source.was_read()), time.monotonic() + 20
        while len(source.was_read()) == before and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.12))
        process.kill()
        said = process.communicate()[1].splitlines()
        assert all(line.endswith(" are stored already") for line in said)
    check(store(source, cache))
    twice = len(source.was_read()) - BLOCKS
    assert twice <= kills * os.cpu_count()


def test_concurrent_stores_read_clips_once(source, cache):
    """The second process waits for the first and finds all clips."""
    program = "check(store(NumberedSource(Path(sys.argv[1]), 0.001), Path(sys.argv[2])))"
    for process in [start(program, source.log, cache) for _ in range(2)]:
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
    assert len(source.was_read()) == BLOCKS


def test_store_progress_starts_at_the_stored_clips(source, cache):
    """A resumed run counts the clips that an earlier one stored."""
    calls = []
    store(source, cache, lambda *call: calls.append(call))
    assert calls[0] == ("Reading clips", 0, BLOCK * BLOCKS)
    assert calls[-1] == ("Reading clips", BLOCK * BLOCKS, BLOCK * BLOCKS)
    index = cache / "clips-numbered.index"
    index.write_text("".join(index.read_text().splitlines(keepends=True)[:4]))
    calls.clear()
    store(source, cache, lambda *call: calls.append(call))
    assert calls[:3] == [("Checking stored blocks", done, 3) for done in (1, 2, 3)]
    assert calls[3] == ("Reading clips", 3 * BLOCK, BLOCK * BLOCKS)


def test_modified_block_is_read_again(source, cache, capsys):
    """If another process modified the file, checksums find the damaged blocks."""
    store(source, cache)
    row = store(source, cache).rows[3 * BLOCK]  # blocks are in the order of their reading
    with (cache / "clips-numbered.int16").open("r+b") as file:
        file.seek(int(row) * 32_000 + 5)
        file.write(b"x")
    check(store(source, cache))
    assert source.was_read().count(str(3 * BLOCK)) == 2
    assert len(source.was_read()) == BLOCKS + 1
    assert "was modified: 114 of 120 are unchanged" in capsys.readouterr().err


def test_truncated_store_is_completed(source, cache, capsys):
    """Clips missing at the end are read again."""
    store(source, cache)
    os.truncate(cache / "clips-numbered.int16", 40 * 32_000)
    check(store(source, cache))
    assert len(source.was_read()) == BLOCKS + BLOCKS - 6
    assert "was modified: 36 of 120" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x00\xff junk", "is damaged"),
        (b"", "is damaged"),
        (None, "is of another version"),
    ],
)
def test_unreadable_index_makes_all_clips_again(
    source, cache, capsys, monkeypatch, content, problem
):
    """A damaged index, or one of another version, is replaced with one line in the log."""
    if content is None:
        monkeypatch.setattr("vm_startup.speech_commands.data.clip_store.FORMAT", FORMAT + 1)
    store(source, cache)
    monkeypatch.undo()
    if content is not None:
        (cache / "clips-numbered.index").write_bytes(content)
    check(store(source, cache))
    assert len(source.was_read()) == 2 * BLOCKS
    assert f"index {problem}: everything is read again\n" in capsys.readouterr().err


def test_damaged_index_line_costs_one_block(source, cache):
    """Each line has its own checksum."""
    store(source, cache)
    index = cache / "clips-numbered.index"
    lines = index.read_text().splitlines(keepends=True)
    lines[4] = lines[4].replace("block", "blocc")
    index.write_text("".join(lines))
    check(store(source, cache))
    assert len(source.was_read()) == BLOCKS + 1


def test_full_disk_is_explained_and_complete_blocks_are_kept(source, cache):
    """The error names the cache, the needed and the free bytes; the next run continues."""
    program = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
store(NumberedSource(Path(sys.argv[1])), Path(sys.argv[2]))
"""
    process = start(program, source.log, cache)
    _, errors = process.communicate(timeout=30)
    sentence = errors.strip().splitlines()[-1]
    assert f"DataError: {cache} cannot store the 120 clips: File too large; " in sentence
    assert "bytes are needed and " in sentence
    assert "are free: free some space or name another --cache_dir" in sentence
    check(store(source, cache))
    assert source.was_read().count("0") == 1


def test_too_little_disk_space_is_found_before_reading(source, cache, monkeypatch):
    """The clips of a data set are counted first."""
    disk = namedtuple("disk", "total used free")(10**9, 0, 3_839_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
    with pytest.raises(DataError, match="left on device; 3,840,000 bytes are needed and 3,839,999"):
        store(source, cache)
    assert not source.was_read()


class TakesSource(NumberedSource):
    """Item i has i % 3 clips, whose samples are i, and a note."""

    def read(self, block):
        for i in block:
            yield np.full((i % 3, 16_000), i, np.int16), [{"item": i}]


def test_items_may_have_any_number_of_clips(source, cache):
    """Rows and notes are in the items' order, however many clips each has."""
    for _ in range(2):
        stored = store(TakesSource(source.log), cache)
        items = [i for i in range(BLOCK * BLOCKS) for _ in range(i % 3)]
        assert (stored.audio[stored.rows] == np.array(items)[:, np.newaxis]).all()
        assert [note["item"] for note in stored.notes] == list(range(BLOCK * BLOCKS))


def test_notes_are_kept_without_audio(source, cache):
    """Where only the notes are wanted, no sound is stored, and nothing is read a second time."""
    for _ in range(2):
        assert notes(source, cache) == list(range(BLOCK * BLOCKS))
    assert len(source.was_read()) == BLOCKS
    assert sum(path.stat().st_size for path in cache.iterdir()) < 10_000


def test_speech_processes_give_the_same_samples(cache):
    """A clip has the same samples whichever process speaks it."""
    source = SyntheticSource(["yes", "lights on"], 70, seed=3)
    stored, clips = store(source, cache), source.clips()
    audio = stored.audio[stored.rows]
    assert len(audio) == len(clips) == 210
    for number, block in enumerate(source.blocks()):
        if {0, 1, 69, 77, 140, 209} & set(block):
            assert (audio[block] == list(source.speak(number))).all()


SPEAK = """
source = SyntheticSource(["yes"], 100_000)
try:
    store(source, Path(sys.argv[1]), lambda *call: print(*call, flush=True))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_speech_processes_end_with_their_parent(cache, how):
    """Ctrl-C and every other end of the parent ends all of them without a message."""
    process = start(SPEAK, cache, stdout=subprocess.PIPE, start_new_session=True)
    while process.stdout.readline().split()[2] == "0":
        pass
    speaking = psutil.Process(process.pid).children(recursive=True)
    assert speaking
    os.killpg(process.pid, how)  # as a terminal does
    _, errors = process.communicate(timeout=10)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert errors == ""
    gone, alive = psutil.wait_procs(speaking, timeout=5)
    assert not alive
