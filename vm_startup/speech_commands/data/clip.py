"""What a source of spoken words gives: clips, each with its word, speaker and split."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

# A block of items, in pieces: (clips int16 [k, 16000], a JSON value of each item that is complete).
Piece = tuple[np.ndarray, list[Any]]
Reader = Callable[[range], Iterable[Piece]]


@dataclass(frozen=True, slots=True)
class Clip:
    """One spoken word; its samples are a row of its source's store."""

    word: str
    speaker: str  # "" where nothing names the speaker
    source: str  # "folder", "archive" or "synthetic"
    split: str  # "training", "validation" or "testing"
    name: str  # unique within its source, e.g. "yes/00076d54_nohash_0.wav"
    row: int  # in its source's store
    group: str  # its digest decides the split; "" where the data themselves name the split


class Source(Protocol):
    """Where clips come from. It has items, such as recordings; reading one gives clips and a note."""

    reading: str  # the name of the reading in progress lines, e.g. "Reading recordings"

    def key(self) -> str:
        """A digest of everything that decides the clips' samples: equal keys, equal samples."""

    def blocks(self) -> list[range]:
        """Which items are read in one go: ranges of their indices, end to end."""

    def reader(self) -> AbstractContextManager[Reader]:
        """Reads blocks; several readers may be open at once, each used by its own thread."""

    def clips(self, notes: Sequence[Any]) -> list[Clip]:
        """Every clip that can be used, in the same order every time. `notes` are all items', in
        order, as the reader gave them."""

    def background(self) -> list[np.ndarray]:
        """Noises without speech, float32 in [-1, 1], of any length; [] for none."""
