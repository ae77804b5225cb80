"""Clips decoded once: int16 [n, 16000] in one file that is mapped into memory, beside its index.

The index has one line for each block of clips that is whole in the file, written after the block
and with its checksum, so a process that is killed at any time leaves nothing that is taken for
whole and is not, and the next one goes on where it stopped. The index's last line tells when the
file was last written: a file that is older or younger is checked block by block before its use.
"""

import errno
import fcntl
import os
import shutil
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vm_startup.speech_commands.data.clip import SAMPLES, Progress, Reader, Source
from vm_startup.speech_commands.errors import DataError

FORMAT = 1  # of both files; one of another format is made anew
CLIP_BYTES = 2 * SAMPLES
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk's, a user's or a process's share of it
PIECE = 64  # clips checked at once: 2 MB


@dataclass(frozen=True)
class Stored:
    """The clips of a source, in its order."""

    audio: np.ndarray  # int16 [n, 16000], a read-only map of the file
    silent: list[int]  # clips whose samples are all zero


@dataclass(frozen=True)
class Block:
    """Clips that are whole in the file."""

    clips: range
    checksum: int  # CRC-32 of their samples
    silent: tuple[int, ...]


def store(source: Source, folder: Path, progress: Progress | None = None) -> Stored:
    """The source's clips, read from `folder` where they are there and put there where not.

    `progress` is called as progress(source.reading, done, total), at most twice a second. Raises
    DataError where a clip cannot be read or the folder cannot hold them, 32 kB each.
    """
    path, blocks = _path(source, folder), source.blocks()
    total = sum(map(len, blocks))
    with explained(folder, f"the {total:,} clips", lambda: _needed(path, total)):
        folder.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two trainings may share a cache
            index = _Index(path, total)
            index.open()
            missing = index.missing(blocks)
            if missing or not index.finished:
                _check_room(folder, _needed(path, total))
                _fill(source, missing, index, _Report(progress, source.reading, total))
                index.finish()
        audio = np.memmap(path, "<i2", "r", shape=(total, SAMPLES)) if total else np.empty(0)
    silent = [clip for block in index.blocks.values() for clip in block.silent]
    return Stored(np.asarray(audio, np.int16).reshape(total, SAMPLES), sorted(silent))


def is_stored(source: Source, folder: Path) -> bool:
    """Whether all of the source's clips are in the folder already."""
    return _Index(_path(source, folder), sum(map(len, source.blocks()))).is_whole()


def _path(source: Source, folder: Path) -> Path:
    return folder / f"clips-{source.key()}.int16"


def _fill(source: Source, missing: list[range], index: "_Index", report: "_Report") -> None:
    """Read blocks with as many readers as there are cores."""
    todo = deque(missing)
    report.begin(index.clips)
    with ThreadPoolExecutor(max_workers=_cores()) as pool, ExitStack() as readers:
        readers.callback(todo.clear)  # whatever ends this, no reader begins another block
        reads = [readers.enter_context(source.reader()) for _ in range(min(_cores(), len(todo)))]
        working = [pool.submit(_work, read, todo, index, report) for read in reads]
        for worker in as_completed(working):
            worker.result()


def _work(read: Reader, todo: deque[range], index: "_Index", report: "_Report") -> None:
    while True:
        try:
            block = todo.popleft()
        except IndexError:
            return
        index.write(block, report.counted(read(block)))


class _Index:
    """The two files of a store: the clips, and which of them are whole."""

    def __init__(self, path: Path, clips: int) -> None:
        self._path, self._list = path, path.with_suffix(".index")
        self._clips = clips
        self._lock = threading.Lock()
        self.finished = False
        self.blocks: dict[range, Block] = {}

    @property
    def clips(self) -> int:
        """How many clips are whole."""
        return sum(map(len, self.blocks))

    def missing(self, blocks: list[range]) -> list[range]:
        """Those of the blocks that are not whole."""
        return [block for block in blocks if block not in self.blocks]

    def write(self, clips: range, pieces: Iterable[np.ndarray]) -> None:
        """Put a block into the file and then into the list."""
        checksum, at, silent = 0, clips.start, []
        with self._path.open("r+b") as file:
            for piece in pieces:
                samples = np.ascontiguousarray(piece, "<i2")
                checksum = zlib.crc32(samples, checksum)
                silent += (at + np.flatnonzero(~samples.any(1))).tolist()
                file.seek(at * CLIP_BYTES)
                file.write(samples.data)
                at += len(samples)
        if at != clips.stop:
            raise ValueError(f"{at - clips.start} clips were read where {len(clips)} were asked")
        self._append(Block(clips, checksum, tuple(silent)))

    def finish(self) -> None:
        """Put the last line, once all blocks are on the disk."""
        with self._path.open("r+b") as file:
            file.truncate(self._clips * CLIP_BYTES)
            os.fsync(file.fileno())
        self._write_list([*map(_as_line, self.blocks.values()), _line("whole", self._written())])
        self.finished = True

    def is_whole(self) -> bool:
        """Whether it was finished, and not written to since."""
        _, written, _ = self._read_list()
        return bool(written) and written == self._written()

    def open(self) -> None:
        """Take what is there and whole; say what is done with anything else."""
        blocks, written, complaint = self._read_list()
        if written and written == self._written():
            self.blocks, self.finished = blocks, True
            return
        with self._path.open("ab"):  # there is a file from here on
            pass
        self.blocks = {clips: block for clips, block in blocks.items() if self._has(block)}
        if complaint:
            print(f"{self._list} {complaint}: the clips are made anew.", flush=True)
        elif written:
            found = f"{self.clips:,} of its {self._clips:,} clips are as they were"
            print(f"{self._path} was changed by another: {found}, others made anew.", flush=True)
        elif self.blocks:
            found = f"{self.clips:,} of {self._clips:,} clips are there already"
            print(f"{self._path}: {found}.", flush=True)
        self._write_list(map(_as_line, self.blocks.values()))

    def _append(self, block: Block) -> None:
        with self._lock, self._list.open("a") as file:
            file.write(_as_line(block))
            self.blocks[block.clips] = block

    def _read_list(self) -> tuple[dict[range, Block], int, str]:
        """The blocks of the list, when the file was written (0: it is not finished), and what is
        wrong with the list."""
        if not self._list.exists():
            return {}, 0, ""
        head, *lines = self._list.read_bytes().decode("ascii", "replace").split("\n")
        first = _fields(head)
        if first[:1] != ["clips"]:
            return {}, 0, "is damaged"
        if first != ["clips", str(FORMAT), str(self._clips)]:
            return {}, 0, "is of another version"
        found = [fields for line in lines if (fields := _fields(line))]
        blocks = [_as_block(fields) for fields in found if fields[0] == "block"]
        written = [int(fields[1]) for fields in found if fields[0] == "whole"]
        whole = sum(len(block.clips) for block in blocks) == self._clips
        return {b.clips: b for b in blocks}, written[-1] if written and whole else 0, ""

    def _write_list(self, lines: Iterable[str]) -> None:
        unfinished = self._list.with_suffix(".tmp")
        with unfinished.open("w") as file:
            file.write(_line("clips", FORMAT, self._clips) + "".join(lines))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._list)

    def _written(self) -> int:
        """When the file was last written, ns; 0 where it has another size than it should."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0
        return found.st_mtime_ns if found.st_size == self._clips * CLIP_BYTES else 0

    def _has(self, block: Block) -> bool:
        checksum, left = 0, len(block.clips) * CLIP_BYTES
        with self._path.open("rb") as file:
            file.seek(block.clips.start * CLIP_BYTES)
            while piece := file.read(min(left, PIECE * CLIP_BYTES)):
                checksum, left = zlib.crc32(piece, checksum), left - len(piece)
        return not left and checksum == block.checksum


class _Report:
    """Tells how many clips are there, at most twice a second."""

    def __init__(self, progress: Progress | None, what: str, total: int) -> None:
        self._progress, self._what, self._total = progress, what, total
        self._lock = threading.Lock()
        self._done, self._last = 0, time.monotonic()

    def begin(self, done: int) -> None:
        """So many are there already."""
        self._done = done
        if self._progress and done < self._total:
            self._progress(self._what, done, self._total)

    def counted(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The pieces as they pass."""
        for piece in pieces:
            yield piece
            self._add(len(piece))

    def _add(self, clips: int) -> None:
        with self._lock:
            self._done += clips
            now = time.monotonic()
            if self._progress and (self._done == self._total or now - self._last >= 0.5):
                self._last = now
                self._progress(self._what, self._done, self._total)


def _line(*fields: object) -> str:
    text = " ".join(map(str, fields))
    return f"{text} {zlib.crc32(text.encode()):08x}\n"


def _fields(line: str) -> list[str]:
    """The fields of a line, [] where it is not what was written."""
    text, _, checksum = line.rpartition(" ")
    return text.split(" ") if checksum == f"{zlib.crc32(text.encode()):08x}" else []


def _as_line(block: Block) -> str:
    silent = ",".join(map(str, block.silent)) or "-"
    return _line("block", block.clips.start, block.clips.stop, block.checksum, silent)


def _as_block(fields: list[str]) -> Block:
    _, start, stop, checksum, silent = fields
    clips = () if silent == "-" else tuple(map(int, silent.split(",")))
    return Block(range(int(start), int(stop)), int(checksum), clips)


def _check_room(folder: Path, needed: int) -> None:
    if needed > _free(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _needed(path: Path, clips: int) -> int:
    """Bytes that a store's file has still to get."""
    there = path.stat().st_blocks * 512 if path.exists() else 0
    return max(0, clips * CLIP_BYTES - there)


def _free(folder: Path) -> int:
    """Free bytes of the disk of a folder, which need not be there yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


@contextmanager
def explained(folder: Path, what: str, needed: Callable[[], int]) -> Iterator[None]:
    """The errors of a disk that cannot hold `what` as the user's; `needed` counts its bytes."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in FULL:
            reason += (
                f"; {needed():,} bytes are needed and {_free(folder):,} are free. "
                "Make room there or name another --cache_dir; the next run goes on from here"
            )
        raise DataError(f"{folder} cannot hold {what}: {reason}.") from error


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
