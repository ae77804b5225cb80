"""The SHA-256 of each file in a folder. A cache has the digest of every file whose facts did not
change since it was read, as Git's index does: such a file is not read again."""

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from firmware_export import files
from firmware_export.errors import BadOutput
from launcher.console import Screen
from launcher.errors import ConfigError, describe

# A file that is changed twice within its file system's clock may keep its time: FAT has the
# coarsest clock, of two seconds. What changed so shortly before it was read is not cached.
CLOCK_NS = 2_000_000_000


class Facts(NamedTuple):
    """What the system notes of a file. Whoever changes a file can set its `modified`, as cp, git
    and rsync do, but not its `changed`."""

    size: int  # bytes
    modified: int  # nanoseconds since the epoch
    changed: int  # the same, for content, name or owner
    inode: int


def scan(folder: Path) -> dict[str, Facts]:
    """Every file below `folder` that is not hidden, sorted by its name, with "/"; one stat a file.

    Links are followed, but not to a folder that they are in. Raises OSError.
    """
    return dict(sorted(_scan(folder, "", frozenset())))


def _scan(
    folder: Path, prefix: str, above: frozenset[tuple[int, int]]
) -> Iterator[tuple[str, Facts]]:
    here = (found := folder.stat()).st_dev, found.st_ino
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] == ".":
                continue
            if entry.is_dir():
                yield from _scan(Path(entry.path), f"{prefix}{entry.name}/", above | {here})
            elif stat.S_ISREG((of := entry.stat()).st_mode):
                facts = Facts(of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_ino)
                yield prefix + entry.name, facts


def read(folder: Path, found: dict[str, Facts], cache: Path, screen: Screen) -> dict[str, str]:
    """The digest of each file that `scan` found in `folder`, in the same order. Reads the files
    that the file `cache` does not know, and updates it. Raises ConfigError for a file that cannot
    be read; what was read until then, or until a Ctrl-C, is cached."""
    began, known = time.time_ns(), _load(cache)
    digests = {
        name: known[name][-1] if name in known and known[name][:-1] == [*facts] else ""
        for name, facts in found.items()
    }
    unread = [name for name, digest in digests.items() if not digest]
    if not unread and len(known) == len(digests):
        return digests
    if unread:
        screen.phase("read recordings")
    try:
        for number, name in enumerate(unread, 1):
            digests[name] = _digest(folder / name)
            screen.progress("files", number, len(unread))
    finally:
        _save(
            cache,
            {
                name: [*facts, digests[name]]
                for name, facts in found.items()
                if digests[name] and facts.changed < began - CLOCK_NS
            },
        )
        screen.over()
    return digests


def _digest(path: Path) -> str:
    try:
        return files.describe(path)["sha256"]
    except OSError as error:
        raise ConfigError(
            f"data.folder: {path} cannot be read: {error.strerror or describe(error)}",
            "try again once nothing changes the folder any more, or remove the file",
        ) from None


def _load(cache: Path) -> dict[str, list[Any]]:
    """What _save wrote; {} if it is lost, damaged or of another format."""
    with contextlib.suppress(OSError):
        head, _, content = cache.read_bytes().partition(b"\n")
        if head == _head(content):
            return json.loads(content)
    return {}


def _save(cache: Path, known: dict[str, list[Any]]) -> None:
    content = json.dumps(known).encode()
    with contextlib.suppress(OSError, BadOutput):  # then the files are read again
        files.write(cache, _head(content) + b"\n" + content)


def _head(content: bytes) -> bytes:
    return f"digests 1 {hashlib.sha256(content).hexdigest()}".encode()
