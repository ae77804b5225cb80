"""The log of a training at work."""

import io
import logging
import os
import sys

import pytest

from launcher.jobs.remote_training import PROGRESS
from vm_startup.speech_commands import progress, runtime


@pytest.fixture
def lines(monkeypatch, caplog):
    """The log's lines, with a clock that moves two seconds at each reading."""
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress.log, "propagate", True)
    caplog.set_level(logging.INFO, progress.log.name)
    return lambda: [record.getMessage() for record in caplog.records]


def test_progress_rate_ignores_earlier_work(lines):
    """Clips that an earlier run has stored do not raise the rate."""
    count = progress.LogProgress()
    for done in (50_000, 51_000, 54_000):
        count("Reading clips", done, 105_829)
    count("Reading clips", 0, 20)
    count("Reading clips", 20, 20)
    assert lines() == [
        "Reading clips: 50000/105829",
        "Reading clips: 51000/105829, 500/s",
        "Reading clips: 54000/105829, 1,000/s",
        "Reading clips: 0/20",
        "Reading clips: 20/20, 10/s",
    ]


def test_progress_logs_at_most_two_lines_a_second(lines, monkeypatch):
    """The first, the last and one line each half second are logged, without repetitions."""
    clock = iter(range(0, 1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock) / 10)
    count = progress.LogProgress()
    for done in (0, *range(1, 11), 12, 12, 12):
        count("Unpacking MB", done, 12)
    count("Unpacking MB", 0, 0)
    shown = [line.split(": ")[1].split(",")[0] for line in lines()]
    assert shown == ["0/12", "5/12", "10/12", "12/12"]


def test_launcher_reads_progress_lines(lines):
    """The log's lines match the pattern of the launcher's progress bar."""
    count = progress.LogProgress()
    count("Speaking words", 1, 3)
    count("Speaking words", 3, 3)
    *_, last = [PROGRESS.fullmatch(line) for line in lines()]
    assert last.groupdict() == {
        "what": "Speaking words",
        "done": "3",
        "total": "3",
        "note": ", 1/s",
    }


def test_log_escapes_names_that_are_not_utf8(monkeypatch):
    """A recording's name need not be UTF-8: its bytes are escaped."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "utf-8", write_through=True))
    monkeypatch.setattr(progress.log, "handlers", [])
    monkeypatch.setattr(progress.log, "level", progress.log.level)
    monkeypatch.setattr(progress.log, "propagate", progress.log.propagate)
    runtime.log_to_stdout()
    print(os.fsdecode(b"caf\xe9.wav"))
    progress.log.info(os.fsdecode(b"\xe9.wav"))
    assert written.getvalue() == b"caf\\udce9.wav\n\\udce9.wav\n"
