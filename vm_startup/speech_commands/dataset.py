"""Sources of spoken words, mixed, labelled and split into arrays.

Silence, unknown words and splits follow TensorFlow's speech_commands/input_data.py, source by
source, so that the accuracy on one source can be compared with upstream's whatever it is mixed with.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from .errors import DataError
from .split import SPLITS
from .words import check_words

SAMPLES = 16_000  # one second, the length of every clip

SILENCE_LABEL = "_silence_"
UNKNOWN_LABEL = "_unknown_"
SILENCE, UNKNOWN, FIRST_WORD = 0, 1, 2

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


@dataclass
class Split:
    """The clips of one split; index i is the same clip in every field."""

    audio: np.ndarray  # int16 [n, 16000]
    label: np.ndarray  # int32 [n], an index into Dataset.labels
    source: np.ndarray  # str [n]; silence carries the source that it was counted for
    name: np.ndarray  # str [n]; "" for silence

    def __len__(self) -> int:
        return len(self.label)


@dataclass
class Dataset:
    """Everything a training needs to hear.

    Validation and testing hold all wanted clips and upstream's share of unknown words and silence.
    Training holds all wanted and all unknown clips and no silence: the trainer draws its batches in
    the proportions it wants and makes silence of zeros and background.
    """

    labels: list[str]  # ["_silence_", "_unknown_", *wanted]
    background: list[np.ndarray]  # float32 in [-1, 1], any length
    splits: dict[str, Split]  # "training", "validation", "testing"


def load(
    sources: Sequence[Source],
    wanted_words: Sequence[str],
    *,
    silence_percentage: float = 10.0,
    unknown_percentage: float = 10.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Dataset:
    """Read every source's clips into memory, 32 kB each.

    The percentages are of the wanted clips in each split of each source. `progress` is called as
    progress("Reading clips", done, total), at most twice a second. Raises DataError where a word
    cannot be used or has no clip in a split.
    """
    raise NotImplementedError


def open_sources(
    wanted_words: Sequence[str],
    *,
    data_dir: str = "",
    data_url: str = "",
    data_sha256: str = "",
    synthetic_clips: int = 0,
    seed: int = 0,
    validation_percentage: float = 10.0,
    testing_percentage: float = 10.0,
    cache_dir: str | Path,
    progress: Progress | None = None,
) -> list[Source]:
    """The sources that the trainer's flags name, checked; an archive is downloaded into cache_dir.

    Raises DataError where a source cannot be used or none is named.
    """
    raise NotImplementedError
