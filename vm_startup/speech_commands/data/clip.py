"""What a source of spoken words gives: clips, each with its word, speaker and split."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Reader = Callable[[range], Iterable[np.ndarray]]  # a block of clips, in pieces int16 [k, 16000]


@dataclass(frozen=True, slots=True)
class Clip:
    """One spoken word; its source reads the samples."""

    word: str
    speaker: str  # a speaker is in one split only
    source: str  # "folder", "archive" or "synthetic"
    split: str  # "training", "validation" or "testing"
    name: str  # unique within its source, e.g. "yes/00076d54_nohash_0.wav"


class Source(Protocol):
    """Where clips come from."""

    reading: str  # the name of the reading in progress lines, e.g. "Reading clips"

    def clips(self) -> list[Clip]:
        """Every clip, in the same order every time."""

    def background(self) -> list[np.ndarray]:
        """Noises without speech, float32 in [-1, 1], of any length; [] for none."""

    def key(self) -> str:
        """A digest of everything that decides the clips' samples: equal keys, equal samples."""

    def blocks(self) -> list[range]:
        """Which clips are read in one go: ranges of their indices, end to end."""

    def reader(self) -> AbstractContextManager[Reader]:
        """Reads blocks; several readers may be open at once, each used by its own thread."""
