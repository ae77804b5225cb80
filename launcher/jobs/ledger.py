"""The append-only, fsynced record of a job: its only writer, its lock, its reader."""

import errno
import os
import secrets
import shlex
import shutil
from pathlib import Path
from typing import Self

from firmware_export import files
from launcher.errors import UsageError
from launcher.jobs import records

FILE = "ledger.jsonl"
RUNS = Path("runs")  # where jobs go unless they are told otherwise


class Ledger(records.Records):
    """A job's record: a job is alive exactly while its ledger is locked."""

    FILE = FILE

    @classmethod
    def create(cls, folder: Path, **first: object) -> Self:
        """Begin the record of a new job in `folder`, which must not exist yet.

        The folder appears with its first record in it, or not at all. Raises FileExistsError where
        it exists: of two launchers that start at once, one wins.
        """
        if folder.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
        unborn = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        unborn.mkdir(parents=True)
        try:
            ledger = cls.open(unborn, os.O_CREAT | os.O_EXCL)
            ledger.append("created", **first)
            unborn.rename(folder)
        except BaseException as error:
            shutil.rmtree(unborn, ignore_errors=True)
            if isinstance(error, OSError) and error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, error.strerror, str(folder)) from None
            raise
        ledger.folder = folder
        files.sync_folder(folder.parent)
        return ledger

    @classmethod
    def open(cls, folder: Path, flags: int = 0) -> Self:
        """Take up the record of a job. Raises UsageError while another launcher holds it."""
        try:
            return super().open(folder, flags)
        except BlockingIOError:
            raise UsageError(
                f"job {refer(folder)} is being worked on by another launcher",
                f"launcher logs {refer(folder)} -f follows it; "
                f"launcher cancel {refer(folder)} ends it",
            ) from None


def read(folder: Path) -> list[dict]:
    """The records of a job, without locking it: [] where there are none."""
    return records.read(folder / FILE)


def refer(folder: Path) -> str:
    """How a user names the job in `folder` on the command line."""
    return folder.name if folder.parent == RUNS else shlex.quote(str(folder))


def is_alive(folder: Path) -> bool:
    """Whether some launcher is at work on the job in `folder` at this moment."""
    return records.is_held(folder / FILE)
