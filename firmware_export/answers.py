"""What a firmware answers: its very image, in the emulator, over any clips."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import build, evaluate, steps, tflite
from .emulate import Chip
from .errors import Mismatch


@dataclass(frozen=True)
class Answers:
    """What was answered, and what it took."""

    words: np.ndarray  # str [n]: the label that scored highest
    flash: int  # bytes
    ram: int  # bytes of variables and stack together
    instructions: int  # of one inference


def of(folder: Path, features: np.ndarray, progress: steps.Progress = steps.nothing) -> Answers:
    """The answers of the job or version in `folder` to clips, float [n, inputs], n at least 1.

    Raises Mismatch where the firmware faults, or does not answer all of them.
    """
    model, names = tflite.load(steps.read_model(folder)), steps.read_labels(folder)
    codes = _codes(np.asarray(features, np.float32), model.input)
    image = (folder / "firmware" / "bluepill.bin").read_bytes()
    chip = Chip(image, codes.tobytes(), codes.shape[1])
    chip.run(lambda clips: progress("Emulating", clips, len(codes)))
    scores = np.frombuffer(bytes(chip.output), np.uint8 if model.output.unsigned else np.int8)
    if scores.size != len(codes) * len(names):
        raise Mismatch(f"The firmware gave {scores.size} scores to {len(codes)} clips.")
    variables = build.loaded((folder / "firmware" / "bluepill.elf").read_bytes())[1]
    words = np.array(names)[scores.reshape(len(codes), -1).argmax(axis=1)]
    return Answers(words, len(image), variables + chip.stack(variables), chip.instructions)


def _codes(features: np.ndarray, tensor: tflite.Tensor) -> np.ndarray:
    """Features as the model's integers; codes of unsigned tensors are kept as signed ones."""
    kind, zero_point = (np.uint8, 128) if tensor.unsigned else (np.int8, 0)
    grid = float(tensor.scale[0]), tensor.zero_point + zero_point
    return evaluate.quantise(features, {"dtype": kind, "quantization": grid})
