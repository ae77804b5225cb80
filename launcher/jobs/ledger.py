"""The append-only, fsynced record of a job: its writer, its lock, its reader."""

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
from launcher.jobs.events import Created
from launcher.jobs.job import Job, fold

FILE = "ledger.jsonl"
RUNS = Path("runs")  # where jobs go without --out


class Ledger(records.Records):
    """A job's ledger, open and locked: a job is alive exactly while its ledger is locked."""

    FILE = FILE

    @property
    def job(self) -> Job:
        """The job as the ledger has it now."""
        return fold(self.records, str(self.folder / FILE))

    @classmethod
    def create(cls, folder: Path, created: Created) -> Self:
        """Begin the ledger of a new job in `folder`, which appears with its first event in it, or
        not at all. Raises FileExistsError if it exists: of two launchers at once, one wins."""
        if folder.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
        unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        unfinished.mkdir(parents=True)
        try:
            ledger = cls.open(unfinished, os.O_CREAT | os.O_EXCL)
            ledger.add(created)
            unfinished.rename(folder)
        except BaseException as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            if isinstance(error, OSError) and error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, error.strerror, str(folder)) from None
            raise
        ledger.folder = folder
        files.sync_folder(folder.parent)
        return ledger

    @classmethod
    def open(cls, folder: Path, flags: int = 0) -> Self:
        """Open the ledger of a job. Raises UsageError while another launcher holds it."""
        try:
            return super().open(folder, flags)
        except BlockingIOError:
            raise UsageError(
                f"job {refer(folder)} is being worked on by another launcher",
                f"launcher logs {refer(folder)} -f follows it; "
                f"launcher cancel {refer(folder)} ends it",
            ) from None


def read(folder: Path) -> Job | None:
    """The job in `folder`, without locking its ledger; None where there is none."""
    found = records.read(folder / FILE)
    return fold(found, str(folder / FILE)) if found else None


def refer(folder: Path) -> str:
    """How a user names the job in `folder` on the command line."""
    return folder.name if folder.parent == RUNS else shlex.quote(str(folder))


def is_alive(folder: Path) -> bool:
    """Whether a launcher works on the job in `folder` at this moment."""
    return records.is_held(folder / FILE)
