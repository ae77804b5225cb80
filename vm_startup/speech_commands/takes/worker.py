"""A process that examines recordings: in threads, many short steps would wait for one another."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vm_startup.conventions import CLIP_SAMPLES
from vm_startup.speech_commands import worker_process
from vm_startup.speech_commands.takes.examination import Note, examine, examine_noise

Files = Sequence[tuple[Path, bool]]  # each file, and whether it is a noise
Examine = Callable[[Files], tuple[np.ndarray, list[Note]]]


@contextlib.contextmanager
def start() -> Iterator[Examine]:
    """`examine_all`, in a process of its own."""
    with worker_process.started(__spec__.name) as worker:

        def examine_there(files: Files) -> tuple[np.ndarray, list[Note]]:
            worker.send([[str(path), is_noise] for path, is_noise in files])
            count, notes = json.loads(worker.read_line())
            samples = worker.read(2 * count * CLIP_SAMPLES)
            return np.frombuffer(samples, "<i2").reshape(count, CLIP_SAMPLES), notes

        yield examine_there


def examine_all(files: Files) -> tuple[np.ndarray, list[Note]]:
    """The clips of all files, int16 [n, 16000], and a note of each file."""
    found = [examine_noise(path) if is_noise else examine(path) for path, is_noise in files]
    return np.concatenate([clips for clips, _ in found]), [note for _, note in found]


def _answer(next_request: Callable[[], Any]) -> None:
    while True:
        files = [(Path(path), is_noise) for path, is_noise in next_request()]
        clips, notes = examine_all(files)
        output = sys.stdout.buffer
        output.write(json.dumps([len(clips), notes]).encode() + b"\n")
        output.write(clips.astype("<i2", copy=False).tobytes())
        output.flush()


if __name__ == "__main__":
    worker_process.serve(_answer)
