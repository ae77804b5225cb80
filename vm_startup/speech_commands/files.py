"""Files that are written whole or not at all, and a full disk as one clear error."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vm_startup.speech_commands.errors import DataError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of the disk, the user or the process


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` once the block ends without an error and the content is
    on the disk."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_json(path: Path, value: dict) -> None:
    """Write a JSON file atomically."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic(path) as file:
        file.write(content)


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder that need not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


@contextmanager
def disk_errors(folder: Path, what: str, needed: Callable[[], int]) -> Iterator[None]:
    """Raise DataError in place of an OSError while `what` is written; `needed` counts its bytes."""
    try:
        yield
    except OSError as error:
        message = f"{folder} cannot store {what}: {error.strerror or error}"
        if error.errno in DISK_FULL:
            message += (
                f"; {needed():,} bytes are needed and {free_bytes(folder):,} are free: free some "
                "space or name another --cache_dir, and the next run continues from here"
            )
        raise DataError(message) from error
