"""What a source of spoken words gives: clips, each with its word, speaker and split."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

SAMPLES = 16_000  # one second, the length of every clip

Progress = Callable[[str, int, int], None]  # what, done, total


@dataclass(frozen=True)
class Clip:
    """One spoken word that can be read when it is needed."""

    word: str
    speaker: str  # a speaker is in one split only
    source: str  # "folder", "archive" or "synthetic"
    split: str  # "training", "validation" or "testing"
    name: str  # unique within its source, e.g. "yes/00076d54_nohash_0.wav"
    read: Callable[[], np.ndarray] = field(repr=False, compare=False)  # int16 [16000]


class Source(Protocol):
    """Where clips come from."""

    def clips(self) -> list[Clip]:
        """Every clip, in the same order every time."""

    def background(self) -> list[np.ndarray]:
        """Noises without speech, float32 in [-1, 1], of any length; [] where there are none."""
