"""What a source of spoken words gives."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from vm_startup.speech_commands.data.clip import Clip
from vm_startup.speech_commands.data.survey_facts import Survey

# A block of items, in pieces: (clips int16 [k, 16000], a JSON value of each item that is complete).
Piece = tuple[np.ndarray, list[Any]]
Reader = Callable[[range], Iterable[Piece]]


class Source(Protocol):
    """Where clips come from: items, such as recordings; each gives clips and a note."""

    reading: str  # the name of the reading in progress lines, e.g. "Reading recordings"

    def key(self) -> str:
        """A digest of everything that decides the clips' samples: equal keys, equal samples."""

    def blocks(self) -> list[range]:
        """Which items are read in one go: ranges of their indices, end to end."""

    def reader(self) -> AbstractContextManager[Reader]:
        """Reads blocks; several readers may be open at once, each used by its own thread."""

    def survey(self, notes: Sequence[Any]) -> Survey:
        """Which clips are used, the same every time. `notes` are all items', in order, as the
        reader gave them."""

    def background(self) -> list[np.ndarray]:
        """Noises without speech, float32 in [-1, 1], of any length; [] for none."""


def sounds(source: Source, clips: Iterable[Clip]) -> Iterator[tuple[Clip, np.ndarray]]:
    """Each of the source's clips with its samples, int16 [16000], read again."""
    wanted = {clip.row: clip for clip in clips}
    with source.reader() as read:
        pieces = (samples for block in source.blocks() for samples, _ in read(block))
        for row, sound in enumerate(itertools.chain.from_iterable(pieces)):
            if clip := wanted.get(row):
                yield clip, sound
