"""Locks on files that say which process holds them; whoever inherits the handle holds it too."""

import contextlib
import os
from pathlib import Path

from launcher.jobs import records


def take(path: Path) -> int | None:
    """Lock the file `path`: its handle; None while some other process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        records.lock(handle)
    except BlockingIOError:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)  # who held it before is not who holds it now
    return handle


def note_pid(handle: int, pid: int) -> None:
    """Write down, in a lock's file, which process works under it."""
    os.pwrite(handle, b"%d\n" % pid, 0)


def pid_of(path: Path) -> int:
    """The process that was written down in a lock's file; 0 if none was."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))
    return 0
