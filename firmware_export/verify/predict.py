"""What a firmware predicts: its image in the emulator, for any clips."""

from pathlib import Path

import numpy as np

from firmware_export import folder as folders
from firmware_export.boards.board import Board
from firmware_export.boards.registry import DEFAULT
from firmware_export.errors import Mismatch
from firmware_export.importers import tflite
from firmware_export.verify.emulator import Chip
from vm_startup.speech_commands.progress import Progress, no_progress


def predict_labels(
    folder: Path, features: np.ndarray, progress: Progress = no_progress, board: Board = DEFAULT
) -> np.ndarray:
    """The label with the highest score, str [n], for each clip, float [n, inputs], n at least 1, by
    the firmware of the job or version in `folder`.

    Raises Mismatch where the firmware faults, or gives another number of scores.
    """
    model, labels = tflite.load(folders.read_model(folder)), folders.read_labels(folder)
    codes = model.input.quantise(np.asarray(features, np.float32))
    # Without the size of a clip the emulator counts no instructions, which would take most time.
    image = (folder / folders.FIRMWARE / f"{board.name}.bin").read_bytes()
    chip = Chip(image, codes.tobytes(), board=board)
    chip.run(lambda sent: progress("Emulating", sent // codes.shape[1], len(codes)))
    scores = np.frombuffer(bytes(chip.output), model.output.stored_type)
    if scores.size != len(codes) * len(labels):
        raise Mismatch(
            f"the firmware gave {scores.size} scores; expected {len(labels)} for each of "
            f"{len(codes)} clips"
        )
    return np.array(labels)[scores.reshape(len(codes), -1).argmax(axis=1)]
