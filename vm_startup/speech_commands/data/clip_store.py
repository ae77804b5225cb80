"""Clips decoded once: int16 [n, 16000] in one memory-mapped file, beside its index.

The index has one line, with a checksum, for each block of clips that is complete in the file. The
line is written after the block. So a process that is killed at any time leaves no block that looks
complete and is not, and the next process continues there. The index's last line holds the file's
modification time: if that differs, every block is checked before its use.
"""

import errno
import fcntl
import os
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vm_startup.conventions import CLIP_SAMPLES
from vm_startup.micro_frontend.extract import cores
from vm_startup.speech_commands.data.clip import Reader, Source
from vm_startup.speech_commands.files import disk_errors, free_bytes, write_bytes
from vm_startup.speech_commands.progress import Progress, log_progress

FORMAT = 1  # of both files; a store of another format is made again
CLIP_BYTES = 2 * CLIP_SAMPLES
PIECE = 64  # clips checked at once: 2 MB


@dataclass(frozen=True)
class Stored:
    """The clips of a source, in its order."""

    audio: np.ndarray  # int16 [n, 16000], a read-only map of the file
    silent: list[int]  # clips whose samples are all zero


@dataclass(frozen=True)
class Block:
    """Clips that are complete in the file."""

    clips: range
    checksum: int  # CRC-32 of their samples
    silent: tuple[int, ...]


def store(source: Source, folder: Path, progress: Progress = log_progress) -> Stored:
    """The source's clips, read from `folder` or, where missing, written there first.

    `progress` is called as progress(source.reading, done, total) for every piece. Raises DataError
    if a clip cannot be read or the folder cannot store them, 32 kB each.
    """
    path, blocks = _path(source, folder), source.blocks()
    total = sum(map(len, blocks))
    with disk_errors(folder, f"the {total:,} clips", lambda: _missing_bytes(path, total)):
        folder.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two trainings may share a cache
            index = _Index(path, total)
            index.open(progress)
            missing = [block for block in blocks if block not in index.blocks]
            if missing or not index.finished:
                if _missing_bytes(path, total) > free_bytes(folder):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                _fill(source, missing, index, _Counter(progress, source.reading, total))
                index.finish()
        audio = np.memmap(path, "<i2", "r", shape=(total, CLIP_SAMPLES)) if total else np.empty(0)
    silent = [clip for block in index.blocks.values() for clip in block.silent]
    return Stored(np.asarray(audio, np.int16).reshape(total, CLIP_SAMPLES), sorted(silent))


def is_stored(source: Source, folder: Path) -> bool:
    """Whether all of the source's clips are in the folder already."""
    return _Index(_path(source, folder), sum(map(len, source.blocks()))).is_complete()


def _path(source: Source, folder: Path) -> Path:
    return folder / f"clips-{source.key()}.int16"


def _fill(source: Source, missing: list[range], index: "_Index", counter: "_Counter") -> None:
    """Read blocks with one reader per core."""
    todo = deque(missing)
    counter.add(index.clips)
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
        index.write(block, counter.counted(read(block)))


class _Index:
    """The two files of a store: the clips, and the list of complete blocks."""

    def __init__(self, path: Path, clips: int) -> None:
        self._path, self._list = path, path.with_suffix(".index")
        self._clips = clips
        self._lock = threading.Lock()
        self.finished = False
        self.blocks: dict[range, Block] = {}

    @property
    def clips(self) -> int:
        """The number of complete clips."""
        return sum(map(len, self.blocks))

    def write(self, clips: range, pieces: Iterable[np.ndarray]) -> None:
        """Write a block to the file and then to the list."""
        checksum, at = 0, clips.start
        silent: list[int] = []
        with self._path.open("r+b") as file:
            for piece in pieces:
                samples = np.ascontiguousarray(piece, "<i2")
                checksum = zlib.crc32(samples.data, checksum)
                silent += (at + np.flatnonzero(~samples.any(1))).tolist()
                file.seek(at * CLIP_BYTES)
                file.write(samples.data)
                at += len(samples)
        if at != clips.stop:
            raise ValueError(f"a reader gave {at - clips.start} clips instead of {len(clips)}")
        self._append(Block(clips, checksum, tuple(silent)))

    def finish(self) -> None:
        """Write the last line, once all blocks are on the disk."""
        with self._path.open("r+b") as file:
            file.truncate(self._clips * CLIP_BYTES)
            os.fsync(file.fileno())
        self._write_list([*map(_as_line, self.blocks.values()), _line("whole", self._modified())])
        self.finished = True

    def is_complete(self) -> bool:
        """Whether the store is finished and unchanged since."""
        _, modified, _ = self._read_list()
        return bool(modified) and modified == self._modified()

    def open(self, progress: Progress) -> None:
        """Keep the blocks that are complete; log what happens to the others."""
        blocks, modified, problem = self._read_list()
        if modified and modified == self._modified():
            self.blocks, self.finished = blocks, True
            return
        with self._path.open("ab"):  # creates the file if it is missing
            pass
        self.blocks = self._verified(blocks, progress)
        if problem:
            print(f"{self._list} {problem}: all clips are made again", flush=True)
        elif modified:
            kept = f"{self.clips:,} of its {self._clips:,} clips are unchanged"
            print(f"{self._path} was modified: {kept}, the others are made again", flush=True)
        elif self.blocks:
            kept = f"{self.clips:,} of {self._clips:,} clips are stored already"
            print(f"{self._path}: {kept}", flush=True)
        self._write_list(map(_as_line, self.blocks.values()))

    def _verified(self, blocks: dict[range, Block], progress: Progress) -> dict:
        """The blocks whose samples are in the file."""
        found = {}
        for number, (clips, block) in enumerate(blocks.items(), 1):
            if self._has(block):
                found[clips] = block
            progress("Checking stored blocks", number, len(blocks))
        return found

    def _append(self, block: Block) -> None:
        with self._lock, self._list.open("a") as file:
            file.write(_as_line(block))
            self.blocks[block.clips] = block

    def _read_list(self) -> tuple[dict[range, Block], int, str]:
        """The listed blocks, the file's modification time (0: not finished), the list's problem."""
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
        modified = [int(fields[1]) for fields in found if fields[0] == "whole"]
        complete = sum(len(block.clips) for block in blocks) == self._clips
        return {b.clips: b for b in blocks}, modified[-1] if modified and complete else 0, ""

    def _write_list(self, lines: Iterable[str]) -> None:
        text = _line("clips", FORMAT, self._clips) + "".join(lines)
        write_bytes(self._list, text.encode())

    def _modified(self) -> int:
        """The file's modification time in ns; 0 if it has the wrong size."""
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


class _Counter:
    """Counts the stored clips of all threads, and reports the number."""

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self._progress, self._what, self._total = progress, what, total
        self._lock = threading.Lock()
        self._done = 0

    def counted(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The same pieces, counted as they are taken."""
        for piece in pieces:
            yield piece
            self.add(len(piece))

    def add(self, clips: int) -> None:
        """Count more clips."""
        with self._lock:
            self._done += clips
            self._progress(self._what, self._done, self._total)


def _line(*fields: object) -> str:
    text = " ".join(map(str, fields))
    return f"{text} {zlib.crc32(text.encode()):08x}\n"


def _fields(line: str) -> list[str]:
    """The fields of a line, [] if its checksum is wrong."""
    text, _, checksum = line.rpartition(" ")
    return text.split(" ") if checksum == f"{zlib.crc32(text.encode()):08x}" else []


def _as_line(block: Block) -> str:
    silent = ",".join(map(str, block.silent)) or "-"
    return _line("block", block.clips.start, block.clips.stop, block.checksum, silent)


def _as_block(fields: list[str]) -> Block:
    _, start, stop, checksum, silent = fields
    clips = () if silent == "-" else tuple(map(int, silent.split(",")))
    return Block(range(int(start), int(stop)), int(checksum), clips)


def _missing_bytes(path: Path, clips: int) -> int:
    """Bytes that a store's file still needs."""
    allocated = path.stat().st_blocks * 512 if path.exists() else 0
    return max(0, clips * CLIP_BYTES - allocated)
