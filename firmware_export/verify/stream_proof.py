"""Proves that the image of a stream's model gives the interpreter's scores, row after row."""

import ctypes
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware_export import build
from firmware_export.boards.board import PASSED, Board
from firmware_export.compiler.streaming import StreamModel
from firmware_export.errors import Mismatch
from firmware_export.verify.emulator import EXIT_PASSED, Chip
from firmware_export.verify.proof import sizes, written
from vm_startup.speech_commands.progress import Progress, no_progress


@dataclass(frozen=True)
class StreamProof:
    """What a model of a stream did; every field is JSON."""

    board: str
    frames: int  # of the stream
    rows: int  # of scores
    mismatches: int  # rows with other scores than the interpreter's: 0, or there is no proof
    stride: int  # frames from one row of scores to the next
    field: int  # frames that a row of scores depends on
    instructions: int  # of the frame that is followed by scores, in which all layers work
    flash: int  # bytes
    ram: int  # bytes of variables and stack
    stack: int  # bytes, the most ever in use
    transcript: str  # what the firmware printed


def prove_stream(
    stream: StreamModel,
    folder: Path,
    frames: np.ndarray,
    expected: np.ndarray,
    board: Board,
    progress: Progress = no_progress,
) -> StreamProof:
    """Compares the firmware in `folder`, in the emulator and built for this computer, with the
    interpreter's scores over a stream.

    frames: the model's codes [n, values]; expected: codes [rows, scores]. Raises Mismatch.
    """
    compare("this computer's build", expected, on_host(folder, frames, expected))
    image, first = (folder / f"{build.STREAM}.bin").read_bytes(), stream.field - stream.pad
    chip = Chip(image, frames.tobytes(), first * frames.shape[1], board=board)
    chip.run(lambda firsts: progress("Emulating", min(firsts * first, len(frames)), len(frames)))
    got = written(chip, expected)
    compare("the firmware", expected, got)
    if PASSED not in chip.transcript or chip.exit != EXIT_PASSED:
        raise Mismatch("the firmware's built-in frames failed")
    return StreamProof(
        board=board.name,
        frames=len(frames),
        rows=len(expected),
        mismatches=int(np.any(got != expected, axis=1).sum()),
        stride=stream.stride,
        field=stream.field,
        instructions=chip.counts[0],
        transcript=chip.transcript,
        **sizes(chip, folder, build.STREAM),
    )


def on_host(folder: Path, frames: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The rows of scores of model.c in `folder`, built for this computer: codes [rows, scores]."""
    row, found = np.zeros(expected.shape[1], expected.dtype), []
    with tempfile.TemporaryDirectory(prefix="firmware-") as scratch:
        library = Path(scratch) / "model.so"
        build.build_host(folder, library)
        code = ctypes.CDLL(str(library))
        code.msl_model_reset()
        for frame in np.ascontiguousarray(frames):
            ends = (ctypes.c_void_p(array.ctypes.data) for array in (frame, row))
            if code.msl_model_step(*ends):
                found.append(row.copy())
    return np.array(found, expected.dtype).reshape(-1, expected.shape[1])


def compare(who: str, expected: np.ndarray, got: np.ndarray) -> None:
    """Raise Mismatch for the first row of scores that differs, or for another number of rows."""
    if len(got) != len(expected):
        raise Mismatch(f"{who} gives {len(got):,} rows of scores; expected {len(expected):,}")
    different = np.flatnonzero(np.any(got != expected, axis=1))
    if len(different):
        row = different[0]
        raise Mismatch(
            f"row {row} of the stream: expected {expected[row].tolist()}, but {who} gives "
            f"{got[row].tolist()}; {len(different):,} mismatches in {len(expected):,} rows"
        )
