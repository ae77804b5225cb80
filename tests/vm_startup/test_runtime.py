"""What a training says while it works."""

import io
import logging
import os
import sys

import pytest

from launcher.jobs.remote_training import PROGRESS
from vm_startup.speech_commands import runtime


@pytest.fixture
def lines(monkeypatch, caplog):
    """What is said, with a clock that moves two seconds at each look."""
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(runtime.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(runtime.log, "propagate", True)
    caplog.set_level(logging.INFO, runtime.log.name)
    return lambda: [record.getMessage() for record in caplog.records]


def test_progress_has_a_rate_that_leaves_out_what_was_there_before(lines):
    """Clips that an earlier run has read do not make this one look fast."""
    progress = runtime.Progress()
    for done in (50_000, 51_000, 54_000):
        progress("Reading clips", done, 105_829)
    progress("Reading clips", 0, 20)
    progress("Reading clips", 20, 20)
    assert lines() == [
        "Reading clips: 50000/105829",
        "Reading clips: 51000/105829, 500/s",
        "Reading clips: 54000/105829, 1,000/s",
        "Reading clips: 0/20",
        "Reading clips: 20/20, 10/s",
    ]


def test_the_launcher_reads_progress(lines):
    """What is said here is what its progress bar looks for."""
    progress = runtime.Progress()
    progress("Speaking words", 1, 3)
    progress("Speaking words", 3, 3)
    *_, last = [PROGRESS.fullmatch(line) for line in lines()]
    assert last.groupdict() == {
        "what": "Speaking words",
        "done": "3",
        "total": "3",
        "note": ", 1/s",
    }


def test_a_name_that_is_not_text_can_be_said(monkeypatch):
    """A recording's name need not be UTF-8: what says it escapes its bytes."""
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(said, "utf-8", write_through=True))
    monkeypatch.setattr(runtime.log, "handlers", [])
    monkeypatch.setattr(runtime.log, "level", runtime.log.level)
    monkeypatch.setattr(runtime.log, "propagate", runtime.log.propagate)
    runtime.speak()
    print(os.fsdecode(b"caf\xe9.wav"))
    runtime.log.info(os.fsdecode(b"\xe9.wav"))
    assert said.getvalue() == b"caf\\udce9.wav\n\\udce9.wav\n"
