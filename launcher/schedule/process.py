"""One retraining as a process of its own, which survives the scheduler if that is killed.

The process holds a kernel lock from before its first instruction to after its last, so that other
processes can see whether it is running. It prints to files: a pipe would break with the scheduler.
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
from launcher.schedule.target import Target

VERDICTS = {0: "done", 5: "skipped", 130: "interrupted"}  # by exit code, if it printed none


@dataclass(frozen=True)
class Result:
    """How a process ended. `verdict` is "" if it crashed before it could print one."""

    verdict: str
    message: str = ""


class RunProcess:
    """The retraining of a schedule, started by this scheduler or by an earlier one."""

    def __init__(self, name: str, process: subprocess.Popen[bytes] | None = None) -> None:
        self._name = name
        self._process = process

    @property
    def pid(self) -> int:
        """Its process; 0 if an earlier scheduler died before it wrote the number."""
        return self._process.pid if self._process else locks.read_pid(_lock_file(self._name))

    def result(self) -> Result | None:
        """How it ended; None while it is running."""
        if self._process:
            code = self._process.poll()
            return None if code is None else _result(self._name, code)
        return None if is_running(self._name) else _result(self._name, None)

    def terminate(self) -> None:
        """Ask it to delete its machine and end, as Ctrl-C does."""
        if self.pid and self.result() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)


def start(
    launcher: tuple[str, ...],
    name: str,
    target: Target,
    scheduled: datetime,
    record: Callable[[], object],
) -> RunProcess | None:
    """Start the retraining of schedule `name`; None while an earlier one is running. Calls `record`
    right before the start, when the output of earlier runs is deleted already. Raises OSError."""
    lock = locks.take(_lock_file(name))
    if lock is None:
        return None
    options = "--scheduled", scheduled.isoformat(), "--expect", target.digest, "--json"
    try:
        with _output_file(name).open("wb") as out, log_file(name).open("wb") as err:
            record()
            process = subprocess.Popen(
                [*launcher, "retrain", target.config, *options],
                cwd=target.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # Ctrl-C at the scheduler's terminal must not reach it
                pass_fds=[lock],
            )
        locks.write_pid(lock, process.pid)
    finally:
        os.close(lock)
    return RunProcess(name, process)


def is_running(name: str) -> bool:
    """Whether a retraining of schedule `name` is running."""
    return records.is_held(_lock_file(name))


def log_file(name: str) -> Path:
    """The log of the last run of schedule `name`."""
    return folder() / f"{name}.log"


def folder() -> Path:
    """The folder with the output of runs. It is not the store's, which may be read-only."""
    return state.home() / "schedules" / "runs"


def _output_file(name: str) -> Path:
    return folder() / f"{name}.json"


def _lock_file(name: str) -> Path:
    return folder() / f"{name}.lock"


def _result(name: str, code: int | None) -> Result:
    """The verdict that the process printed; without one, that of its exit code."""
    try:
        printed = json.loads(_output_file(name).read_text(encoding="utf-8"))
        if printed.get("verdict") == "unchanged":  # its reasons belong to an earlier run
            return Result("unchanged")
        message = printed.get("error") or " ".join(printed.get("reasons", ()))
        if verdict := printed.get("verdict") or VERDICTS.get(printed.get("exit_code"), "failed"):
            return Result(verdict, message)
    except (OSError, ValueError, AttributeError, TypeError):
        pass
    if code is None or code < 0:
        return Result("", f"ended by signal {-code}" if code else "ended without a verdict")
    return Result(VERDICTS.get(code, "failed"), _last_line(name))


def _last_line(name: str) -> str:
    with contextlib.suppress(OSError):
        lines = log_file(name).read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")
    return ""
