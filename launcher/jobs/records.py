"""An append-only file of JSON records, one a line: fsynced, and locked by its writer."""

import contextlib
import errno
import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from launcher.errors import UsageError

Record = dict[str, Any]  # "time", seconds since the epoch; "event"; and what the event says

E = TypeVar("E")


class Records:
    """A file of records, open and locked while this launcher acts on it. The kernel ends the lock
    with the process."""

    FILE: ClassVar[str]  # its name in its folder

    def __init__(self, folder: Path, handle: int) -> None:
        self.folder = folder
        self._handle = handle
        self.records = read(folder / self.FILE)

    @classmethod
    def open(cls, folder: Path, flags: int = 0) -> Self:
        """Open the file in `folder`; `flags` are those of os.open. Raises BlockingIOError while
        another process holds it, UsageError where it is damaged."""
        handle = os.open(folder / cls.FILE, os.O_RDWR | os.O_APPEND | flags, 0o644)
        try:
            lock(handle)
            found = cls(folder, handle)
            _mend_tail(handle)
            return found
        except BaseException:
            os.close(handle)
            raise

    def add(self, event: Any) -> None:
        """Add the record of an event, a dataclass of JSON values: when this returns, it is on the
        disk. Raises OSError if that is full, and then no part of the record is left."""
        record = {"time": time.time(), "event": name_of(type(event)), **asdict(event)}
        line = json.dumps(record).encode() + b"\n"
        if os.write(self._handle, line) < len(line):  # the disk filled up within the record
            _cut_tail(self._handle)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder / self.FILE))
        os.fsync(self._handle)
        self.records.append(record)

    def close(self) -> None:
        """Close the file and release its lock."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def name_of(kind: type) -> str:
    """The name of a kind of event in a file: MachineReady → "machine ready"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__).lower()


class Codec(Generic[E]):
    """Makes events, dataclasses of JSON values, of records; `converters` make a field's value of
    its JSON value, by the field's name."""

    def __init__(self, kinds: Iterable[type[E]], **converters: Callable[[Any], Any]) -> None:
        self._kinds = {name_of(kind): kind for kind in kinds}
        self._converters = converters

    def event(self, record: Record) -> E | None:
        """The event of a record; None for one that only a newer launcher knows. Raises KeyError,
        TypeError or ValueError for a damaged one."""
        kind: Any = self._kinds.get(record["event"])
        if kind is None:
            return None
        facts = {field.name: record[field.name] for field in fields(kind) if field.name in record}
        for name in facts.keys() & self._converters.keys():
            facts[name] = self._converters[name](facts[name])
        event: E = kind(**facts)
        return event


def read(path: Path) -> list[Record]:
    """The records of a file, without locking it: [] if there is no file. Raises UsageError that
    names the first line that no launcher wrote."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [_record(line) for line in lines]
    for number, (line, record) in enumerate(zip(lines, found, strict=True), 1):
        if record is None and (line.endswith(b"\n") or not _is_torn(line, number)):
            raise UsageError(f"{path}, line {number}: damaged, it is not a record of the launcher")
    return [record for record in found if record]


def lock(handle: int) -> None:
    """Lock an open file. Raises BlockingIOError while another process holds the lock. The retries
    are for `is_held`, which takes the lock for some microseconds."""
    for _ in range(20):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.02)
    raise BlockingIOError(errno.EWOULDBLOCK, "held by another process")


def is_held(path: Path) -> bool:
    """Whether some process holds the file open and locked at this moment."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _record(line: bytes) -> Record | None:
    """The record of a line; None where the line is not a whole record."""
    try:
        record = json.loads(line)
        return record if isinstance(record["event"], str) and record["time"] + 0.0 else None
    except (ValueError, TypeError, KeyError):
        return None


def _is_torn(line: bytes, number: int) -> bool:
    """Whether the end of a file is what a power loss leaves of a record that no launcher acted on:
    its beginning, or zeros after other records. A file of zeros alone is damaged."""
    return line.startswith(b"{") or (number > 1 and not line.strip(b"\0"))


def _mend_tail(handle: int) -> None:
    """Remove an incomplete last record; add the newline that an editor removed."""
    tail = os.pread(handle, os.fstat(handle).st_size, 0).rpartition(b"\n")[2]
    if tail and _record(tail):
        os.write(handle, b"\n")
    elif tail:
        _cut_tail(handle)


def _cut_tail(handle: int) -> None:
    text = os.pread(handle, os.fstat(handle).st_size, 0)
    os.ftruncate(handle, text.rfind(b"\n") + 1)
