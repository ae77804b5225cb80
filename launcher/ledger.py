"""The append-only, fsynced record of a job: its only writer, its lock, its reader."""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from launcher.errors import UsageError

FILE = "ledger.jsonl"
RUNS = Path("runs")  # where jobs go unless they are told otherwise


class Ledger:
    """A job's record, held open and locked for as long as this launcher acts on the job.

    The lock is the kernel's, so it ends with the process however that dies: a job is alive exactly
    while its ledger is locked.
    """

    def __init__(self, folder: Path, handle: int) -> None:
        self.folder = folder
        self._handle = handle
        self.records = list(_parse(folder / FILE))

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
            ledger = cls.open(unborn, new=True)
            ledger.append("created", **first)
            unborn.rename(folder)
        except BaseException as error:
            shutil.rmtree(unborn, ignore_errors=True)
            if isinstance(error, OSError) and error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, error.strerror, str(folder)) from None
            raise
        ledger.folder = folder
        _sync_folder(folder)
        return ledger

    @classmethod
    def open(cls, folder: Path, new: bool = False) -> Self:
        """Take up the record of a job. Raises UsageError while another launcher holds it."""
        flags = os.O_RDWR | os.O_APPEND | (os.O_CREAT | os.O_EXCL if new else 0)
        handle = os.open(folder / FILE, flags, 0o644)
        if not _lock(handle):
            os.close(handle)
            raise UsageError(
                f"job {refer(folder)} is being worked on by another launcher",
                f"launcher logs {refer(folder)} -f follows it; "
                f"launcher cancel {refer(folder)} ends it",
            )
        _cut_torn_tail(handle)
        return cls(folder, handle)

    def append(self, event: str, **facts: object) -> None:
        """Add one record; when this returns, it is on the disk. Raises OSError where it is full,
        and then no part of the record is left."""
        record = {"time": time.time(), "event": event, **facts}
        line = json.dumps(record).encode() + b"\n"
        if os.write(self._handle, line) < len(line):  # the disk filled up within the record
            _cut_torn_tail(self._handle)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder / FILE))
        os.fsync(self._handle)
        self.records.append(record)

    def close(self) -> None:
        """Let go of the job; what was written stays."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(folder: Path) -> list[dict]:
    """The records of a job, without locking it: [] where there are none."""
    return list(_parse(folder / FILE))


def refer(folder: Path) -> str:
    """How a user names the job in `folder` on the command line."""
    return folder.name if folder.parent == RUNS else shlex.quote(str(folder))


def is_alive(folder: Path) -> bool:
    """Whether some launcher is at work on the job in `folder` at this moment."""
    try:
        handle = os.open(folder / FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _lock(handle: int) -> bool:
    """Take the lock; False if somebody keeps it. `is_alive` holds it for some microseconds, which
    must not look like a launcher at work."""
    for _ in range(20):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


def _parse(path: Path) -> Iterator[dict]:
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    for number, line in enumerate(lines, 1):
        if line.endswith(b"\n"):  # a record cut off by a power loss was never acted on
            try:
                record = json.loads(line)
                yield {"event": record["event"], "time": record["time"], **record}
            except (ValueError, TypeError, KeyError):
                raise UsageError(
                    f"{path}, line {number}: damaged, it is no record of a job"
                ) from None


def _cut_torn_tail(handle: int) -> None:
    size = os.fstat(handle).st_size
    text = os.pread(handle, size, 0)
    os.ftruncate(handle, text.rfind(b"\n") + 1)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
