"""One retraining as a process of its own, which outlives the scheduler if that is killed.

It holds a lock of the kernel's from before its first instruction to after its last, so that any
other process can see whether it still goes. What it says goes to files: a pipe would break with
the scheduler.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from launcher import state
from launcher.jobs import records
from launcher.schedule import locks
from launcher.schedule.store import Work

VERDICTS = {0: "done", 5: "skipped", 130: "interrupted"}  # of a child that told none


@dataclass(frozen=True)
class Result:
    """What became of a child. `verdict` is "" where it was cut off before it could say."""

    verdict: str
    told: str = ""


class Child:
    """The retraining of one schedule that goes on now, begun by this process or by an earlier
    scheduler."""

    def __init__(self, name: str, process: subprocess.Popen | None) -> None:
        self._name = name
        self._process = process

    @property
    def pid(self) -> int:
        """Its process; 0 where an earlier scheduler died before it wrote that down."""
        return self._process.pid if self._process else locks.pid_of(_lock(self._name))

    def result(self) -> Result | None:
        """What became of it; None while it goes on."""
        if self._process:
            code = self._process.poll()
            return None if code is None else _result(self._name, code)
        return None if is_going(self._name) else _result(self._name, None)

    def ask_to_end(self) -> None:
        """What Ctrl-C is to a launcher: it gives its machine back and ends."""
        if self.pid and self.result() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)


def begin(
    launcher: tuple[str, ...],
    name: str,
    work: Work,
    scheduled: datetime,
    note: Callable[[], object],
) -> Child | None:
    """Start the retraining of schedule `name`; None while an earlier one of it goes on.

    `launcher` is the command behind which `retrain CONFIG …` is put. `note` is called before the
    process begins, when an earlier one's words can no longer be taken for its own. Raises OSError.
    """
    lock = locks.take(_lock(name))
    if lock is None:
        return None
    try:
        with said(name).open("wb") as out, log(name).open("wb") as err:
            note()
            process = subprocess.Popen(
                [*launcher, "retrain", work.config, *_options(work, scheduled)],
                cwd=work.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # a Ctrl-C at the scheduler's terminal is not meant for it
                pass_fds=[lock],
            )
        locks.note_pid(lock, process.pid)
    finally:
        os.close(lock)
    return Child(name, process)


def adopt(name: str) -> Child:
    """The retraining of schedule `name` that an earlier scheduler began, whether it goes or not."""
    return Child(name, None)


def is_going(name: str) -> bool:
    """Whether a retraining of schedule `name` goes on at this moment."""
    return records.is_held(_lock(name))


def said(name: str) -> Path:
    """The file with what the last child of schedule `name` said to scripts."""
    return folder() / f"{name}.json"


def log(name: str) -> Path:
    """The file with what the last child of schedule `name` said to people."""
    return folder() / f"{name}.log"


def folder() -> Path:
    """Where children leave what they say."""
    return state.home() / "schedules"


def _lock(name: str) -> Path:
    return folder() / f"{name}.lock"


def _options(work: Work, scheduled: datetime) -> tuple[str, ...]:
    return "--scheduled", scheduled.isoformat(), "--expect", work.digest, "--json"


def _result(name: str, code: int | None) -> Result:
    """What the child wrote counts; its exit code where it wrote nothing."""
    try:
        told = json.loads(said(name).read_text(encoding="utf-8"))
        if told.get("verdict") == "unchanged":  # its reasons are those of an earlier run
            return Result("unchanged")
        sentence = told.get("error") or " ".join(told.get("reasons", ()))
        if verdict := told.get("verdict") or VERDICTS.get(told.get("exit_code"), "failed"):
            return Result(verdict, sentence)
    except (OSError, ValueError, AttributeError, TypeError):
        pass
    if code is None or code < 0:
        return Result("", f"ended by signal {-code}" if code else "cut off")
    return Result(VERDICTS.get(code, "failed"), _last_line(name))


def _last_line(name: str) -> str:
    with contextlib.suppress(OSError):
        lines = log(name).read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")
    return ""
