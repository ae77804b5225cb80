"""The log of a machine that never stops: how much of it is kept on the disk and in memory."""

import tracemalloc
from types import SimpleNamespace

import pytest

from launcher.errors import StepFailed
from launcher.jobs import bounded_log
from launcher.jobs.bounded_log import BoundedLog
from launcher.jobs.job import Job
from launcher.jobs.remote_training import LINE_BYTES, LogReader, _failure
from launcher.jobs.states import Phase

KEPT, END = 1000, 100


@pytest.fixture(autouse=True)
def small(request, monkeypatch):
    """Bounds that a test reaches."""
    if "memory" not in request.node.name:
        monkeypatch.setattr(bounded_log, "LOG_BYTES", KEPT)
        monkeypatch.setattr(bounded_log, "END_BYTES", END)


def follow(path, text, base=0, polls=None, most=70):
    """Add what a machine's log says, at most `most` bytes a poll; how much was cut."""
    with BoundedLog(path, base) as log:
        while (polls is None or polls) and log.offset < len(text):
            log.add(text[log.offset :][:most], len(text))
            assert len(log._end) <= bounded_log.END_BYTES
            polls = polls and polls - 1
    return log.cut


def written(text, room=KEPT):
    """What is kept of a log."""
    cut = len(text) - room - END
    gap = b"\n[%d bytes of the log are cut here]\n" % cut
    return text if cut <= 0 else text[:room] + gap + text[-END:]


def letters(count):
    return bytes(65 + i % 26 for i in range(count))


@pytest.mark.parametrize("size", [0, 1, KEPT - 1, KEPT, KEPT + 1, KEPT + END, KEPT + END + 1, 5000])
@pytest.mark.parametrize("most", [70, 5000])
def test_log_keeps_beginning_and_end(tmp_path, size, most):
    """A log up to the bound is complete; a longer one says how many bytes of its middle are cut."""
    cut = follow(tmp_path / "log", letters(size), most=most)
    assert cut == max(0, size - KEPT - END)
    assert (tmp_path / "log").read_bytes() == written(letters(size))


@pytest.mark.parametrize("polls", [3, 15, 17, 40])
def test_log_that_was_left_continues(tmp_path, polls):
    """A launcher that left, before or after the bound, and one that comes back keep the same."""
    text = letters(9000)
    follow(tmp_path / "log", text[: 70 * polls], polls=polls)
    follow(tmp_path / "log", text[: 70 * polls])  # nothing new
    follow(tmp_path / "log", text)
    assert (tmp_path / "log").read_bytes() == written(text)


def test_runs_share_the_bound(tmp_path):
    """However many runs a job has, only the first bytes and the end of each are kept."""
    path, expected = tmp_path / "log", b""
    for size in (700, 600, 5000):
        base = len(expected)
        follow(path, letters(size), base)
        expected += written(letters(size), max(0, KEPT - base))
        assert path.read_bytes() == expected


@pytest.fixture
def reader(plan):
    """Makes a reader of the log, and what it begins and shows."""
    shown = []
    screen = SimpleNamespace(progress=lambda *facts: shown.append(facts))
    context = SimpleNamespace(job=Job(), begin=shown.append, screen=screen)
    return LogReader(context, plan(total_steps=9)), shown


def test_hundred_megabytes_without_newline_take_little_memory(tmp_path, reader):
    """Reading and keeping 100 MB without a newline takes less than 5 MB of memory."""
    read, shown = reader
    chunk, path = b"x" * (1 << 20), tmp_path / "log"
    tracemalloc.start()
    with BoundedLog(path, 0) as log:
        for count in range(1, 101):
            log.add(chunk, count << 20)
            assert read(chunk) == ""
            assert len(read._rest) == LINE_BYTES
    read.catch_up(path, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert log.cut == (100 << 20) - bounded_log.LOG_BYTES - bounded_log.END_BYTES
    assert path.stat().st_size < bounded_log.LOG_BYTES + bounded_log.END_BYTES + 100
    assert shown == []


def test_reader_finds_lines_between_long_ones(reader):
    """A line that is too long hides no other; its own beginning counts."""
    read, shown = reader
    text = b"Step #3: " + b"a" * 9999 + b"\n== train ==\n" + b"b" * 9999 + b"\n== freeze ==\n"
    for start in range(0, len(text), 7):
        read(text[start : start + 7])
    assert [shown[0][:3], *shown[1:]] == [("Step", 3, 9), Phase.TRAIN, Phase.FREEZE]
    assert len(shown[0][3]) < LINE_BYTES


def test_failure_shows_the_end_of_a_long_log_and_of_no_line_more(tmp_path, plan):
    """The error of a failed step has fifteen lines, each cut with a count."""
    log = tmp_path / "log"
    log.write_bytes(b"z" * 500_000 + b"\n" + b"last\n" * 13 + b"y" * 2000 + b"\nend\n")
    error = _failure(log, plan(), 1, Job())
    assert isinstance(error, StepFailed)
    *_, long, end = lines = str(error).splitlines()[1:]
    assert len(lines) == 15
    assert end == "end"
    assert long == "y" * 500 + " … 1,500 more characters"
