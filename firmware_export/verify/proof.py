"""Proves that the very image that one would flash answers every clip as the interpreter does."""

import ctypes
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware_export import build
from firmware_export.clips import Clips
from firmware_export.compiler import listener
from firmware_export.errors import Mismatch
from firmware_export.verify import evaluate, listener_audio, reference
from firmware_export.verify.emulator import ORDERLY, Chip

PASSED = "~~~ALL TESTS PASSED~~~"


@dataclass(frozen=True)
class Proof:
    """What was compared and measured; every field is JSON."""

    clips: int
    differing: int  # 0: a proof with differences is not given
    accuracy_quantised: float | None  # of the interpreter; None without labels
    accuracy_firmware: float | None
    confusion: list[list[int]] | None  # [i][j]: clips of label i that the firmware took for j
    differing_optimised: int  # clips that the interpreter's default kernels answer otherwise
    instructions: int  # of one inference
    flash: int  # bytes
    ram: int  # bytes of variables and stack together
    stack: int  # bytes, the most ever in use
    transcript: str  # what the firmware said of the clips that it carries


@dataclass(frozen=True)
class Listened:
    """The same of the listener, which is given sound; every field is JSON."""

    clips: int  # of a second
    recorded: int  # those that are recordings; the others are made up
    differing: int  # 0, in features as well as in scores
    instructions_per_frame: int  # a stride of samples to what is kept of it
    stride_ms: float  # how often that is done
    instructions: int  # of one inference, from what was kept to the scores
    flash: int
    ram: int
    stack: int


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
    _compare("this computer's build", "score", expected, _on_host(folder, codes, expected))
    image = (folder / "bluepill.bin").read_bytes()
    chip = Chip(image, codes.tobytes(), codes.shape[1])
    chip.run(lambda clips: progress("Emulating", clips, len(codes)))
    got = _written(chip, expected)
    _compare("the firmware", "score", expected, got)
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
        confusion=None if labels is None else evaluate.confusion(got, labels),
        differing_optimised=int(np.any(optimised != expected, axis=1).sum()),
        instructions=chip.instructions,
        flash=len(image),
        ram=variables + stack,
        stack=stack,
        transcript=chip.transcript,
    )


def listen(
    model: bytes,
    folder: Path,
    known: Clips,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Listened | None:
    """Compare listener.bin in `folder`, given sound, with the interpreter, given the features that
    the model was trained on; None for a model that cannot listen. Raises Mismatch."""
    folder, interpreter = Path(folder), reference.load(model)
    inputs = interpreter.input.size
    front_end = listener.front_end(inputs)
    if front_end is None:
        return None
    audio, features, recorded = listener_audio.choose(known, front_end)
    codes = interpreter.codes(features)
    answers = interpreter.answers(codes)
    heard = audio[:, : listener.samples(front_end, inputs)]
    image = (folder / "listener.bin").read_bytes()
    chip = Chip(image, heard.tobytes(), heard[0].nbytes, answers=3)
    chip.run(lambda clips: progress("Listening", clips, len(heard)))
    expected = np.hstack([answers.view(np.uint8), codes.view(np.uint8)])
    got = _written(chip, expected)
    scores, shown = np.split(got, [answers.shape[1]], axis=1)
    _compare("the listener", "feature", codes, shown.copy().view(codes.dtype))
    _compare("the listener", "score", answers, scores.copy().view(answers.dtype))
    variables = build.loaded((folder / "listener.elf").read_bytes())[1]
    stack = chip.stack(variables)
    return Listened(
        clips=len(audio),
        recorded=recorded,
        differing=int(np.any(got != expected, axis=1).sum()),
        instructions_per_frame=chip.counts[0],
        stride_ms=1000 * front_end.stride / front_end.sample_rate,
        instructions=chip.counts[1],
        flash=len(image),
        ram=variables + stack,
        stack=stack,
    )


def _compare(who: str, what: str, expected: np.ndarray, got: np.ndarray) -> None:
    different = np.argwhere(expected != got)
    if len(different):
        clip, index = different[0]
        clips = len(np.unique(different[:, 0]))
        raise Mismatch(
            f"Clip {clip}, {what} {index}: expected {expected[clip, index]}, but {who} answers "
            f"{got[clip, index]}; {clips} of {len(expected)} clips differ."
        )


def _first_failure(transcript: str) -> str:
    lines = transcript.splitlines()
    return next((line for line in lines if "expected" in line), "they did not end")


def _written(chip: Chip, expected: np.ndarray) -> np.ndarray:
    """What the chip's firmware wrote, in the shape of `expected`."""
    got = np.frombuffer(bytes(chip.output), expected.dtype)
    if got.size != expected.size:
        raise Mismatch(f"The firmware gave {got.size} numbers, not {expected.size}.")
    return got.reshape(expected.shape)


def _on_host(folder: Path, codes: np.ndarray, expected: np.ndarray) -> np.ndarray:
    got = np.empty_like(expected)
    with tempfile.TemporaryDirectory(prefix="bluepill-") as scratch:
        library = Path(scratch) / "model.so"
        build.build_host(folder, library)
        invoke = ctypes.CDLL(str(library)).model_invoke
        for clip, scores in zip(np.ascontiguousarray(codes), got, strict=True):
            invoke(ctypes.c_void_p(clip.ctypes.data), ctypes.c_void_p(scores.ctypes.data))
    return got
