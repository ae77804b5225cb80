"""What a firmware answers: its very image, in the emulator, over any clips."""

from pathlib import Path

import numpy as np

from firmware_export import steps
from firmware_export.errors import Mismatch
from firmware_export.importers import tflite
from firmware_export.verify import reference
from firmware_export.verify.emulator import Chip


def of(folder: Path, features: np.ndarray, progress: steps.Progress = steps.nothing) -> np.ndarray:
    """The label that scores highest, str [n], for each clip, float [n, inputs], n at least 1, by
    the firmware of the job or version in `folder`.

    Raises Mismatch where the firmware faults, or does not answer all of them.
    """
    model, names = tflite.load(steps.read_model(folder)), steps.read_labels(folder)
    codes = reference.on_grid(np.asarray(features, np.float32), model.input)
    # Without the size of a clip no instructions are counted, which would take longer than all else.
    chip = Chip((folder / "firmware" / "bluepill.bin").read_bytes(), codes.tobytes())
    chip.run(lambda sent: progress("Emulating", sent // codes.shape[1], len(codes)))
    scores = np.frombuffer(bytes(chip.output), np.uint8 if model.output.unsigned else np.int8)
    if scores.size != len(codes) * len(names):
        raise Mismatch(f"The firmware gave {scores.size} scores to {len(codes)} clips.")
    return np.array(names)[scores.reshape(len(codes), -1).argmax(axis=1)]
