"""The test clips that the firmware carries and runs at every start."""

from collections.abc import Sequence

import numpy as np

from firmware_export import clips
from firmware_export.boards.board import Board
from firmware_export.compiler.sources import Clip
from firmware_export.labels import wanted
from firmware_export.verify import reference
from firmware_export.verify.reference import Reference

CODE_SIZE = 12 << 10  # bytes of flash for start-up, kernels and test code, rounded up


def choose(model: bytes, known: clips.Clips, labels: Sequence[str], board: Board) -> list[Clip]:
    """As many clips as the flash has room for beside the model: the user's own ones; else, for
    each wanted word, the first clip that the model gets right; else the first clip."""
    room = max(1, (board.flash_size - CODE_SIZE - len(model)) // known.features.shape[1])
    own = np.flatnonzero(known.sources == clips.OWN).tolist()
    interpreter = reference.load(model)
    firsts = (_first_right(interpreter, known, label) for label in wanted(labels)[:room])
    chosen = own or [first for first in firsts if first is not None] or [0]
    names = [str(known.names[index]) for index in chosen[:room]]
    return clips_of(model, known.features[chosen[:room]], names)


def clips_of(model: bytes, features: np.ndarray, names: Sequence[str]) -> list[Clip]:
    """Clips for the firmware, with the interpreter's scores."""
    interpreter = reference.load(model)
    codes = interpreter.codes(features)
    return [Clip(*clip) for clip in zip(names, codes, interpreter.scores(codes), strict=True)]


def _first_right(interpreter: Reference, known: clips.Clips, label: int) -> int | None:
    for index in np.flatnonzero(known.labels == label):
        codes = interpreter.codes(known.features[index : index + 1])
        if interpreter.scores(codes).argmax() == label:
            return int(index)
    return None
