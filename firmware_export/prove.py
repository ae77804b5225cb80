"""Proves that the very image that one would flash answers every clip as the interpreter does."""

import ctypes
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import build, evaluate, reference
from .emulate import ORDERLY, Chip
from .errors import Mismatch

PASSED = "~~~ALL TESTS PASSED~~~"


@dataclass(frozen=True)
class Proof:
    """What was compared and measured; every field is JSON."""

    clips: int
    differing: int  # 0: a proof with differences is not given
    accuracy_quantised: float | None  # of the interpreter; None without labels
    accuracy_firmware: float | None
    differing_optimised: int  # clips that the interpreter's default kernels answer otherwise
    instructions: int  # of one inference
    flash: int  # bytes
    ram: int  # bytes of variables and stack together
    stack: int  # bytes, the most ever in use
    transcript: str  # what the firmware said of the clips that it carries


def prove(
    model: bytes,
    folder: Path,
    features: np.ndarray,
    labels: np.ndarray | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Proof:
    """Compare bluepill.bin in `folder`, and its C on this computer, with the interpreter.

    features: float [n, inputs], n at least 1. labels: int [n], below 0 where unknown. Raises
    Mismatch that names the clip and the score, expected and got.
    """
    folder, interpreter = Path(folder), reference.load(model)
    codes = interpreter.codes(features)
    expected = interpreter.answers(codes)
    _compare("this computer's build", expected, _on_host(folder, codes, expected))
    image = (folder / "bluepill.bin").read_bytes()
    chip, got = _on_chip(image, codes, expected, progress)
    _compare("the firmware", expected, got)
    if PASSED not in chip.transcript or chip.exit != ORDERLY:
        raise Mismatch(f"The firmware's own clips failed: {_first_failure(chip.transcript)}.")
    variables = build.loaded((folder / "bluepill.elf").read_bytes())[1]
    optimised = reference.load(model, optimised=True).answers(codes)
    stack = chip.stack(variables)
    return Proof(
        clips=len(codes),
        differing=int(np.any(got != expected, axis=1).sum()),
        accuracy_quantised=None if labels is None else evaluate.accuracy(expected, labels),
        accuracy_firmware=None if labels is None else evaluate.accuracy(got, labels),
        differing_optimised=int(np.any(optimised != expected, axis=1).sum()),
        instructions=chip.instructions,
        flash=len(image),
        ram=variables + stack,
        stack=stack,
        transcript=chip.transcript,
    )


def _compare(who: str, expected: np.ndarray, got: np.ndarray) -> None:
    different = np.argwhere(expected != got)
    if len(different):
        clip, score = different[0]
        clips = len(np.unique(different[:, 0]))
        raise Mismatch(
            f"Clip {clip}, score {score}: expected {expected[clip, score]}, but {who} answers "
            f"{got[clip, score]}; {clips} of {len(expected)} clips differ."
        )


def _first_failure(transcript: str) -> str:
    lines = transcript.splitlines()
    return next((line for line in lines if "expected" in line), "they did not end")


def _on_chip(image: bytes, codes: np.ndarray, expected: np.ndarray, progress):
    """The emulated chip after all clips, and its answers in the shape of `expected`."""
    chip = Chip(image, codes.tobytes(), codes.shape[1])
    chip.run(lambda clips: progress("Emulating", clips, len(codes)))
    got = np.frombuffer(bytes(chip.output), expected.dtype)
    if got.size != expected.size:
        raise Mismatch(f"The firmware gave {got.size} scores where {expected.size} were expected.")
    return chip, got.reshape(expected.shape)


def _on_host(folder: Path, codes: np.ndarray, expected: np.ndarray) -> np.ndarray:
    got = np.empty_like(expected)
    with tempfile.TemporaryDirectory(prefix="bluepill-") as scratch:
        library = Path(scratch) / "model.so"
        build.build_host(folder, library)
        invoke = ctypes.CDLL(str(library)).model_invoke
        for clip, scores in zip(np.ascontiguousarray(codes), got, strict=True):
            invoke(ctypes.c_void_p(clip.ctypes.data), ctypes.c_void_p(scores.ctypes.data))
    return got
