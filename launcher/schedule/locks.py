"""Lock files that name the process behind them. A process that inherits the handle holds it too."""

import contextlib
import os
from pathlib import Path

from launcher.jobs import records


def take(path: Path) -> int | None:
    """Lock the file `path` and return its handle; None while another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        records.lock(handle)
    except BlockingIOError:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)  # it names the previous holder
    return handle


def write_pid(handle: int, pid: int) -> None:
    """Write the process that works under a lock into its file."""
    os.pwrite(handle, b"%d\n" % pid, 0)


def read_pid(path: Path) -> int:
    """The process that a lock's file names; 0 if it names none."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))
    return 0
