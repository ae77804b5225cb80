"""Proves that the image for the chip gives the interpreter's scores for every clip."""

import ctypes
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware_export import build, elf
from firmware_export.boards.board import PASSED, Board
from firmware_export.boards.registry import DEFAULT
from firmware_export.clips import Clips
from firmware_export.compiler import listener
from firmware_export.errors import Mismatch
from firmware_export.verify import evaluate, proof_audio, reference
from firmware_export.verify.emulator import EXIT_PASSED, Chip
from vm_startup.speech_commands.progress import Progress, no_progress


@dataclass(frozen=True)
class Proof:
    """What was compared and measured; every field is JSON."""

    board: str
    clips: int
    mismatches: int  # clips with other scores than the interpreter's: 0, or there is no proof
    accuracy_quantised: float | None  # of the interpreter; None without labels
    accuracy_firmware: float | None
    confusion: list[list[int]] | None  # [i][j]: clips of label i that the firmware took for j
    mismatches_optimised: int  # clips with other scores by the interpreter's default kernels
    listed: list[list[int]]  # the firmware's scores, as codes, for the clips to be listed
    instructions: int  # of one inference
    flash: int  # bytes
    ram: int  # bytes of variables and stack
    stack: int  # bytes, the most ever in use
    transcript: str  # what the firmware printed about its built-in clips


@dataclass(frozen=True)
class ListenerProof:
    """The same for the listener, which takes sound; every field is JSON."""

    clips: int  # of a second
    recorded: int  # clips that are recordings; the others are generated
    mismatches: int  # 0, in features as well as in scores
    instructions_per_frame: int  # from a stride of samples to the signals of its frame
    stride_ms: float
    instructions: int  # of one inference, from the signals to the scores
    flash: int
    ram: int
    stack: int


def prove(
    model: bytes,
    folder: Path,
    features: np.ndarray,
    labels: np.ndarray | None = None,
    progress: Progress = no_progress,
    *,
    listed: Sequence[int] | np.ndarray = (),
    board: Board = DEFAULT,
) -> Proof:
    """Compares the firmware in `folder`, in the emulator and built for this computer, with the
    interpreter.

    features: float [n, inputs], n at least 1. labels: int [n], below 0 where unknown. listed:
    indices of clips whose scores the proof lists. Raises Mismatch."""
    folder, interpreter = Path(folder), reference.load(model)
    codes = interpreter.codes(features)
    expected = interpreter.scores(codes, progress)
    _compare("this computer's build", "score", expected, _on_host(folder, codes, expected))
    image = (folder / f"{board.name}.bin").read_bytes()
    chip = Chip(image, codes.tobytes(), codes.shape[1], board=board)
    chip.run(lambda clips: progress("Emulating", clips, len(codes)))
    got = written(chip, expected)
    _compare("the firmware", "score", expected, got)
    if PASSED not in chip.transcript or chip.exit != EXIT_PASSED:
        wrong = (line for line in chip.transcript.splitlines() if "expected" in line)
        first = next(wrong, "they did not end")
        raise Mismatch(f"the firmware's built-in clips failed: {first}")
    optimised = reference.load(model, optimised=True).scores(codes)
    return Proof(
        board=board.name,
        clips=len(codes),
        mismatches=int(np.any(got != expected, axis=1).sum()),
        accuracy_quantised=None if labels is None else evaluate.accuracy(expected, labels),
        accuracy_firmware=None if labels is None else evaluate.accuracy(got, labels),
        confusion=None if labels is None else evaluate.confusion(got, labels),
        mismatches_optimised=int(np.any(optimised != expected, axis=1).sum()),
        listed=got[np.asarray(listed, int)].tolist(),
        instructions=chip.counts[0],
        transcript=chip.transcript,
        **sizes(chip, folder, board.name),
    )


def prove_listener(
    model: bytes,
    folder: Path,
    known: Clips,
    progress: Progress = no_progress,
    board: Board = DEFAULT,
) -> ListenerProof | None:
    """Compares the listener in `folder`, which gets sound, with the interpreter, which gets the
    features of training; None for a model without a listener. Raises Mismatch."""
    folder, interpreter = Path(folder), reference.load(model)
    inputs = interpreter.input.size
    extractor = listener.feature_extractor(inputs)
    if extractor is None:
        return None
    audio, features, recorded = proof_audio.choose(known, extractor)
    codes = interpreter.codes(features)
    scores = interpreter.scores(codes)
    samples = audio[:, : listener.clip_strides(extractor, inputs) * extractor.stride]
    image = (folder / f"{build.LISTENER}.bin").read_bytes()
    chip = Chip(image, samples.tobytes(), samples[0].nbytes, writes=3, board=board)
    chip.run(lambda clips: progress("Listening", clips, len(samples)))
    expected = np.hstack([scores.view(np.uint8), codes.view(np.uint8)])
    got = written(chip, expected)
    got_scores, got_codes = np.split(got, [scores.shape[1]], axis=1)
    _compare("the listener", "feature", codes, got_codes.copy().view(codes.dtype))
    _compare("the listener", "score", scores, got_scores.copy().view(scores.dtype))
    return ListenerProof(
        clips=len(audio),
        recorded=recorded,
        mismatches=int(np.any(got != expected, axis=1).sum()),
        instructions_per_frame=chip.counts[0],
        stride_ms=1000 * extractor.stride / extractor.sample_rate,
        instructions=chip.counts[1],
        **sizes(chip, folder, build.LISTENER),
    )


def sizes(chip: Chip, folder: Path, image: str) -> dict[str, int]:
    """Bytes of an image that ran: flash; ram, with the stack; stack, the most ever in use."""
    variables = elf.variables((folder / f"{image}.elf").read_bytes(), chip.board)
    stack = chip.stack(variables)
    return {"flash": len(chip.image), "ram": variables + stack, "stack": stack}


def _compare(who: str, what: str, expected: np.ndarray, got: np.ndarray) -> None:
    different = np.argwhere(expected != got)
    if len(different):
        clip, index = different[0]
        clips = len(np.unique(different[:, 0]))
        raise Mismatch(
            f"clip {clip}, {what} {index}: expected {expected[clip, index]}, but {who} gives "
            f"{got[clip, index]}; {clips} mismatches in {len(expected)} clips"
        )


def written(chip: Chip, expected: np.ndarray) -> np.ndarray:
    """What the firmware wrote, in the shape of `expected`."""
    got = np.frombuffer(bytes(chip.output), expected.dtype)
    if got.size != expected.size:
        raise Mismatch(f"the firmware gave {got.size} numbers; expected {expected.size}")
    return got.reshape(expected.shape)


def _on_host(folder: Path, codes: np.ndarray, expected: np.ndarray) -> np.ndarray:
    got = np.empty_like(expected)
    with tempfile.TemporaryDirectory(prefix="firmware-") as scratch:
        library = Path(scratch) / "model.so"
        build.build_host(folder, library)
        invoke = ctypes.CDLL(str(library)).msl_model_invoke
        for clip, scores in zip(np.ascontiguousarray(codes), got, strict=True):
            invoke(ctypes.c_void_p(clip.ctypes.data), ctypes.c_void_p(scores.ctypes.data))
    return got
