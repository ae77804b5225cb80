"""Sources of spoken words, mixed, labelled and split into arrays.

Silence, unknown words and splits follow TensorFlow's speech_commands/input_data.py, source by
source, so that the accuracy on one can be compared with upstream's whatever it is mixed with.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import archive
from .clip import SAMPLES, Clip, Progress, Source
from .errors import DataError
from .folder import FolderSource, Summary, check_folder
from .split import SPLITS, TRAINING
from .synthetic import SyntheticSource
from .words import check_words

SILENCE_LABEL = "_silence_"
UNKNOWN_LABEL = "_unknown_"
SILENCE, UNKNOWN, FIRST_WORD = 0, 1, 2


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
    check_words(wanted_words)
    labels = {word: FIRST_WORD + i for i, word in enumerate(wanted_words)}
    clips = [source.clips() for source in sources]
    check_splits([clip for some in clips for clip in some], wanted_words)
    plan = {
        split: [
            entry
            for some in clips
            for entry in _compose(some, split, labels, silence_percentage, unknown_percentage, seed)
        ]
        for split in SPLITS
    }
    reading = _Reading(progress, plan)
    return Dataset(
        labels=[SILENCE_LABEL, UNKNOWN_LABEL, *wanted_words],
        splits={split: _read(entries, reading) for split, entries in plan.items()},
        background=[noise for source in sources for noise in source.background()],
    )


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
    flags = {
        "validation_percentage": validation_percentage,
        "testing_percentage": testing_percentage,
    }
    _check_percentages(**flags)
    check_words(wanted_words)
    sources: list[Source] = []
    if data_dir:
        _describe(check_folder(data_dir, wanted_words), data_dir)
        sources.append(FolderSource(data_dir, **flags))
    if data_url:
        folder = archive.fetch(data_url, data_sha256, cache_dir, progress)
        _describe(check_folder(folder, wanted_words), data_url)
        sources.append(FolderSource(folder, source="archive", **flags))
    if synthetic_clips < 0:
        raise DataError(f"--synthetic_clips is {synthetic_clips}: it counts clips, 0 for none.")
    if synthetic_clips:
        sources.append(SyntheticSource(wanted_words, synthetic_clips, seed=seed, **flags))
    if not sources:
        raise DataError(
            "no data is named: give one or more of --data_dir, --data_url and --synthetic_clips."
        )
    return sources


def _compose(
    clips: list[Clip],
    split: str,
    labels: dict[str, int],
    silence_percentage: float,
    unknown_percentage: float,
    seed: int,
) -> list[tuple[int, Clip | None, str]]:
    """What one source puts into one split: label, clip (None for silence) and source of each."""
    here = [clip for clip in clips if clip.split == split]
    wanted = [(labels[clip.word], clip, clip.source) for clip in here if clip.word in labels]
    unknown = [(UNKNOWN, clip, clip.source) for clip in here if clip.word not in labels]
    if split == TRAINING:
        return wanted + unknown
    order = np.random.default_rng([seed, SPLITS.index(split)]).permutation(len(unknown))
    picked = sorted(order[: math.ceil(len(wanted) * unknown_percentage / 100)])
    silences = math.ceil(len(wanted) * silence_percentage / 100)
    silence = [(SILENCE, None, clips[0].source)] * silences if clips else []
    return wanted + [unknown[i] for i in picked] + silence


def _read(entries: list[tuple[int, Clip | None, str]], reading: "_Reading") -> Split:
    audio = np.zeros((len(entries), SAMPLES), np.int16)
    for row, (_, clip, _) in zip(audio, entries, strict=True):
        if clip:
            row[:] = clip.read()
            reading.done(clip)
    return Split(
        audio=audio,
        label=np.array([label for label, _, _ in entries], np.int32),
        source=np.array([source for _, _, source in entries], str),
        name=np.array([clip.name if clip else "" for _, clip, _ in entries], str),
    )


class _Reading:
    """Tells `progress` how many clips are read and how many spoken, at most twice a second."""

    def __init__(self, progress: Progress | None, plan: dict[str, list]):
        self._progress = progress
        self._total = Counter(
            self._what(clip) for entries in plan.values() for _, clip, _ in entries if clip
        )
        self._done: Counter[str] = Counter()
        self._last = time.monotonic()

    def done(self, clip: Clip) -> None:
        what = self._what(clip)
        self._done[what] += 1
        done, total, now = self._done[what], self._total[what], time.monotonic()
        if self._progress and (done == total or now - self._last >= 0.5):
            self._last = now
            self._progress(what, done, total)

    @staticmethod
    def _what(clip: Clip) -> str:
        return "Speaking words" if clip.source == "synthetic" else "Reading clips"


def check_splits(clips: list[Clip], wanted_words: Sequence[str]) -> None:
    """Raise DataError for a word without a clip in some split: nothing would judge it."""
    speakers: dict[str, dict[str, set[str]]] = {
        word: {split: set() for split in SPLITS} for word in wanted_words
    }
    for clip in clips:
        if clip.word in speakers:
            speakers[clip.word][clip.split].add(f"{clip.source}:{clip.speaker}")
    for word, by_split in speakers.items():
        for split in SPLITS:
            if not by_split[split]:
                count = sum(map(len, by_split.values()))
                raise DataError(
                    f"the word {word!r} has no clip for {split}: its {count} speaker"
                    f"{'s' if count != 1 else ''} (the part of a file name before _nohash_) all "
                    "fall into other splits; about 30 speakers are needed, or synthetic clips too."
                )


def _check_percentages(validation_percentage: float, testing_percentage: float) -> None:
    both = validation_percentage, testing_percentage
    if min(both) <= 0 or sum(both) >= 100:
        raise DataError(
            f"--validation_percentage {both[0]:g} and --testing_percentage {both[1]:g} leave a "
            "split empty: each must be above 0 and both together below 100."
        )


def _describe(found: Summary, folder: Path | str) -> None:
    line = f"{folder}: {sum(found.words.values()):,} clips of {len(found.words)} words"
    if found.converted:
        line += f"; {found.converted:,} recordings are converted to 16-bit 16 kHz"
    print(line, flush=True)
