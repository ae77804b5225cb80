"""Atomic files and folders: complete and on the disk, or not there at all."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from firmware_export.errors import BadModel, BadOutput

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(path: Path, content: bytes | str) -> None:
    """Writes `path` atomically and creates its folder. Raises BadOutput on a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as problem:
        unfinished.unlink(missing_ok=True)
        if problem.errno not in FULL:
            raise
        raise BadOutput(f"{path} cannot be written: the disk is full", "make room") from problem
    sync_folder(path.parent)


def write_json(path: Path, value: dict) -> None:
    """Writes JSON atomically; equal values give equal bytes."""
    write(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def describe(path: Path) -> dict:
    """A file's size in bytes and its SHA-256."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {"size": file.tell(), "sha256": sha256}


def sync_folder(folder: Path) -> None:
    """Makes renames inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, limit: int) -> bytes:
    """A user's file. Raises BadModel where it cannot be read or has more than `limit` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as problem:
        raise BadModel(f"{path} cannot be read: {problem.strerror or problem}") from problem
    if len(content) > limit:
        raise BadModel(f"{path} has more than {limit:,} bytes, the limit for such a file")
    return content


@contextlib.contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """A scratch folder that replaces `path` when the block succeeds, and is removed if it fails."""
    scratch = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(scratch, ignore_errors=True)  # left by a killed process
    scratch.mkdir(parents=True)
    try:
        yield scratch
        if path.exists():
            shutil.rmtree(path)
        scratch.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sync_folder(path.parent)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A scratch folder that becomes `path` when the block succeeds, and is removed if it fails.

    Raises BadOutput where `path` exists already (an empty folder may).
    """
    refuse_existing(path)
    # Named before it is created: a Ctrl-C at any moment removes it.
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.mkdir()
        except OSError as problem:
            raise BadOutput(f"{path} cannot be created: {problem.strerror or problem}") from problem
        yield scratch
        refuse_existing(path)
        scratch.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sync_folder(path.parent)


def refuse_existing(path: Path) -> None:
    """Raises BadOutput unless `path` does not exist or is an empty folder."""
    try:
        taken = path.is_symlink() or path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as problem:
        raise BadOutput(f"{path} cannot be created: {problem.strerror or problem}") from problem
    if taken:
        raise BadOutput(f"output folder {path} exists already", "name a new folder")
