"""Clips decoded once: int16 [n, 16000] in one memory-mapped file, beside its index.

A source's items are read in blocks. The index has one line, with a checksum, for each block that is
complete in the file: which items, which rows of the file they became, and a note of each item. The
line is written after the rows. So a process that is killed at any time leaves no block that looks
complete and is not, and the next process continues there. The index's last line holds the file's
modification time: if that differs, every block is checked before its use.
"""

import errno
import fcntl
import json
import os
import sys
import threading
import zlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vm_startup.conventions import CLIP_SAMPLES
from vm_startup.micro_frontend.extract import cores
from vm_startup.speech_commands.data.source import Reader, Source
from vm_startup.speech_commands.files import disk_errors, free_bytes, write_bytes
from vm_startup.speech_commands.progress import Progress, log_progress

FORMAT = 2  # of both files; a store of another format is made again
CLIP_BYTES = 2 * CLIP_SAMPLES
PIECE = 64  # clips checked at once: 2 MB


@dataclass(frozen=True)
class Block:
    """Items that were read, and their clips, which are complete in the file."""

    items: range
    rows: range  # of the file; items have any number of clips
    checksum: int  # CRC-32 of their samples
    notes: list[Any]  # JSON values, one of each item, or none


@dataclass(frozen=True)
class Stored:
    """What was read of a source."""

    audio: np.ndarray  # int16 [m, 16000], a read-only map of the file; m ≥ n
    notes: list[Any]  # of the items, in order
    rows: np.ndarray  # int64 [n]: the row in `audio` of each clip, in the items' order


def store(source: Source, folder: Path, progress: Progress = log_progress) -> Stored:
    """The source's clips, read from `folder` or, where missing, written there first.

    `progress` is called as progress(source.reading, done, total) for every piece. Raises DataError
    if an item cannot be read or the folder cannot store the clips, 32 kB each.
    """
    path, index = _filled(source, folder, progress, keep_audio=True)
    blocks = index.in_order()
    total = max((block.rows.stop for block in blocks), default=0)
    audio = np.memmap(path, "<i2", "r", shape=(total, CLIP_SAMPLES)) if total else np.empty(0)
    return Stored(
        np.asarray(audio, np.int16).reshape(total, CLIP_SAMPLES),
        [note for block in blocks for note in block.notes],
        np.array([row for block in blocks for row in block.rows], np.int64),
    )


def notes(source: Source, folder: Path, progress: Progress = log_progress) -> list[Any]:
    """The notes of the source's items, read from `folder` or, where missing, written there first;
    no sound is kept. Raises DataError as `store` does."""
    _, index = _filled(source, folder, progress, keep_audio=False)
    return [note for block in index.in_order() for note in block.notes]


def _filled(
    source: Source, folder: Path, progress: Progress, keep_audio: bool
) -> tuple[Path, "_Index"]:
    """The file of the clips and its index, complete."""
    blocks = source.blocks()
    items = sum(map(len, blocks))
    name = f"clips-{source.key()}.int16" if keep_audio else f"notes-{source.key()}"
    path, least = folder / name, items * CLIP_BYTES * keep_audio
    with disk_errors(folder, f"the {items:,} clips", lambda: _missing_bytes(path, least)):
        folder.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two trainings may share a cache
            index = _Index(path, items, keep_audio)
            index.open(progress)
            missing = [block for block in blocks if block not in index.blocks]
            if missing or not index.finished:
                if _missing_bytes(path, least) > free_bytes(folder):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                _fill(source, missing, index, _Counter(progress, source.reading, items))
                index.finish()
    return path, index


def _fill(source: Source, missing: list[range], index: "_Index", counter: "_Counter") -> None:
    """Read blocks with one reader per core."""
    todo = deque(missing)
    counter.add(index.items)
    with ThreadPoolExecutor(max_workers=cores()) as pool, ExitStack() as readers:
        readers.callback(todo.clear)  # on any error, no reader begins another block
        reads = [readers.enter_context(source.reader()) for _ in range(min(cores(), len(todo)))]
        working = [pool.submit(_work, read, todo, index, counter) for read in reads]
        for worker in as_completed(working):
            worker.result()


def _work(read: Reader, todo: deque[range], index: "_Index", counter: "_Counter") -> None:
    while True:
        try:
            block = todo.popleft()
        except IndexError:
            return
        pieces, noted = [], []
        for samples, these in read(block):
            pieces.append(np.ascontiguousarray(samples, "<i2"))
            noted += these
            counter.add(len(these))
        index.write(block, pieces, noted)


class _Index:
    """The two files of a store: the clips, and the list of complete blocks."""

    def __init__(self, path: Path, items: int, keep_audio: bool) -> None:
        self._path, self._list = path, path.with_suffix(".index")
        self._items, self._keep_audio = items, keep_audio
        self._lock = threading.Lock()
        self._rows = 0  # of the file that belong to a block
        self._places: dict[range, range] = {}  # rows of blocks that are read again, by their items
        self.finished = False
        self.blocks: dict[range, Block] = {}

    @property
    def items(self) -> int:
        """The number of items whose clips are complete."""
        return sum(map(len, self.blocks))

    def in_order(self) -> list[Block]:
        """The blocks in the source's order; they are in the file in the order of their reading."""
        return sorted(self.blocks.values(), key=lambda block: block.items.start)

    def write(self, items: range, pieces: list[np.ndarray], noted: list[Any]) -> None:
        """Write a block to the file and then to the list."""
        if len(noted) != len(items):
            raise ValueError(f"a reader gave {len(noted)} notes of {len(items)} items")
        rows = self._place(items, sum(map(len, pieces)))
        checksum = 0
        if self._keep_audio:
            with self._path.open("r+b") as file:
                file.seek(rows.start * CLIP_BYTES)
                for samples in pieces:
                    checksum = zlib.crc32(samples.data, checksum)
                    file.write(samples.data)
        block = Block(items, rows, checksum, noted)
        with self._lock, self._list.open("a") as file:
            file.write(_as_line(block))
            self.blocks[items] = block

    def _place(self, items: range, clips: int) -> range:
        """Rows for the clips of a block: those that it had, else at the file's end."""
        with self._lock:
            rows = self._places.get(items, range(0))
            if len(rows) != clips:
                rows = range(self._rows, self._rows + clips)
            self._rows = max(self._rows, rows.stop)
            return rows

    def finish(self) -> None:
        """Write the last line, once all blocks are on the disk."""
        with self._path.open("r+b") as file:
            file.truncate(self._size())
            os.fsync(file.fileno())
        self._write_list([*map(_as_line, self.blocks.values()), _line("whole", self._modified())])
        self.finished = True

    def open(self, progress: Progress) -> None:
        """Keep the blocks that are complete; log what happens to the others."""
        self.blocks, modified, problem = self._read_list()
        if modified and modified == self._modified():
            self.finished = True
            return
        with self._path.open("ab"):  # creates the file if it is missing
            pass
        self._places = {block.items: block.rows for block in self.blocks.values()}
        self._rows = self._end()
        self.blocks = self._verified(progress)
        if problem:
            print(f"{self._list} {problem}: everything is read again", file=sys.stderr, flush=True)
        elif modified:
            kept = f"{self.items:,} of {self._items:,} are unchanged"
            print(
                f"{self._path} was modified: {kept}, the others are read again",
                file=sys.stderr,
                flush=True,
            )
        elif self.blocks:
            print(
                f"{self._path}: {self.items:,} of {self._items:,} are stored already",
                file=sys.stderr,
                flush=True,
            )
        self._write_list(map(_as_line, self.blocks.values()))

    def _verified(self, progress: Progress) -> dict[range, Block]:
        """The blocks whose samples are in the file."""
        found = {}
        for number, (items, block) in enumerate(self.blocks.items(), 1):
            if self._has(block):
                found[items] = block
            progress("Checking stored blocks", number, len(self.blocks))
        return found

    def _read_list(self) -> tuple[dict[range, Block], int, str]:
        """The listed blocks, the file's modification time (0: not finished), the list's problem."""
        if not self._list.exists():
            return {}, 0, ""
        head, *lines = self._list.read_bytes().decode("ascii", "replace").split("\n")
        first = _fields(head)
        if first[:1] != ["clips"]:
            return {}, 0, "is damaged"
        if first != ["clips", str(FORMAT), str(self._items)]:
            return {}, 0, "is of another version"
        found = [fields for line in lines if (fields := _fields(line))]
        blocks = {b.items: b for f in found if f[0] == "block" for b in [_as_block(f)]}
        modified = [int(fields[1]) for fields in found if fields[0] == "whole"]
        complete = sum(map(len, blocks)) == self._items
        return blocks, modified[-1] if modified and complete else 0, ""

    def _write_list(self, lines: Iterable[str]) -> None:
        text = _line("clips", FORMAT, self._items) + "".join(lines)
        write_bytes(self._list, text.encode())

    def _size(self) -> int:
        """Bytes that the file of the clips should have."""
        return self._end() * CLIP_BYTES * self._keep_audio

    def _end(self) -> int:
        """The row after the last block's."""
        return max((block.rows.stop for block in self.blocks.values()), default=0)

    def _modified(self) -> int:
        """The file's modification time in ns; 0 if it has the wrong size."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0
        return found.st_mtime_ns if found.st_size == self._size() else 0

    def _has(self, block: Block) -> bool:
        checksum, left = 0, len(block.rows) * CLIP_BYTES * self._keep_audio
        with self._path.open("rb") as file:
            file.seek(block.rows.start * CLIP_BYTES)
            while piece := file.read(min(left, PIECE * CLIP_BYTES)):
                checksum, left = zlib.crc32(piece, checksum), left - len(piece)
        return not left and checksum == block.checksum


class _Counter:
    """Counts the items that were read by all threads, and reports the number."""

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self._progress, self._what, self._total = progress, what, total
        self._lock = threading.Lock()
        self._done = 0

    def add(self, items: int) -> None:
        """Count more items."""
        with self._lock:
            self._done += items
            self._progress(self._what, self._done, self._total)


def _line(*fields: object) -> str:
    text = " ".join(map(str, fields))
    return f"{text} {zlib.crc32(text.encode()):08x}\n"


def _fields(line: str) -> list[str]:
    """The fields of a line, [] if its checksum is wrong; the last one may hold spaces."""
    text, _, checksum = line.rpartition(" ")
    return text.split(" ", 6) if checksum == f"{zlib.crc32(text.encode()):08x}" else []


def _as_line(block: Block) -> str:
    ends = block.items.start, block.items.stop, block.rows.start, block.rows.stop
    return _line("block", *ends, block.checksum, json.dumps(block.notes, separators=(",", ":")))


def _as_block(fields: list[str]) -> Block:
    first, stop, row, end, checksum = map(int, fields[1:6])
    return Block(range(first, stop), range(row, end), checksum, json.loads(fields[6]))


def _missing_bytes(path: Path, needed: int) -> int:
    """Bytes that a store's file still needs at least."""
    allocated = path.stat().st_blocks * 512 if path.exists() else 0
    return max(0, needed - allocated)
