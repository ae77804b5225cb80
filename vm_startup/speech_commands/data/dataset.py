"""Sources of spoken words, mixed, labelled and split into arrays.

Silence, unknown words and splits follow TensorFlow's speech_commands/input_data.py, source by
source, so that the accuracy on one can be compared with upstream's whatever it is mixed with.
"""

import itertools
import math
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vm_startup.speech_commands.data import archive
from vm_startup.speech_commands.data.clip import Clip, Progress, Source
from vm_startup.speech_commands.data.clip_store import is_stored, store
from vm_startup.speech_commands.data.folder import FolderSource, check_folder
from vm_startup.speech_commands.data.rows import SILENT_ROW, Rows
from vm_startup.speech_commands.data.split import SPLITS, TRAINING
from vm_startup.speech_commands.data.words import check_words
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.synthetic.source import SyntheticSource

SILENCE_LABEL = "_silence_"
UNKNOWN_LABEL = "_unknown_"
SILENCE, UNKNOWN, FIRST_WORD = 0, 1, 2
FEWEST = 10  # clips of a word in all, below which nothing can be learned of it nor be judged

Found = list[tuple[int, Clip]]  # clips and their rows in all that is stored


@dataclass
class Split:
    """The clips of one split; index i is the same clip in every field."""

    audio: Rows  # int16 [n, 16000]; or an array
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
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Every source's clips, decoded once into files in `cache_dir`, 32 kB each (None: for now).

    The percentages are of the wanted clips in each split of each source. `progress` is called as
    progress("Reading clips", done, total), at most twice a second. Raises DataError where a word
    cannot be used or has no clip in a split, or where the files cannot be written.
    """
    check_words(wanted_words)
    labels = {word: FIRST_WORD + i for i, word in enumerate(wanted_words)}
    number = itertools.count()
    found = [[(next(number), clip) for clip in source.clips()] for source in sources]
    check_splits([clip for some in found for _, clip in some], wanted_words)
    with nullcontext(cache_dir) if cache_dir else tempfile.TemporaryDirectory() as folder:
        stored = [store(source, Path(folder), progress) for source in sources]
    silent = {some[i][0] for some, its in zip(found, stored, strict=True) for i in its.silent}
    found = _sounding(found, silent, wanted_words)
    background = [noise for source in sources for noise in source.background()]
    if not background:
        print("There is no background noise: all silence is digital zero.", flush=True)
    shares = silence_percentage, unknown_percentage
    plan = {
        split: [entry for some in found for entry in _compose(some, split, labels, *shares, seed)]
        for split in SPLITS
    }
    audio = [its.audio for its in stored]
    return Dataset(
        labels=[SILENCE_LABEL, UNKNOWN_LABEL, *wanted_words],
        splits={split: _split(entries, audio) for split, entries in plan.items()},
        background=background,
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
        sources.append(FolderSource(data_dir, **flags))
        _check(sources[-1], wanted_words, cache_dir, data_dir)
    if data_url:
        folder = archive.fetch(data_url, data_sha256, cache_dir, progress)
        sources.append(FolderSource(folder, source="archive", **flags))
        _check(sources[-1], wanted_words, cache_dir, data_url)
    if synthetic_clips < 0:
        raise DataError(f"--synthetic_clips is {synthetic_clips}: it counts clips, 0 for none.")
    if synthetic_clips:
        sources.append(SyntheticSource(wanted_words, synthetic_clips, seed=seed, **flags))
    if not sources:
        raise DataError(
            "no data is named: give one or more of --data_dir, --data_url and --synthetic_clips."
        )
    return sources


def _sounding(found: list[Found], silent: set[int], wanted_words: Sequence[str]) -> list[Found]:
    """The clips that are not silent, with a line about those that are; DataError where a wanted
    word has no others left, or too few."""
    if not silent:
        return found
    quiet = [clip for some in found for row, clip in some if row in silent]
    left = [[(row, clip) for row, clip in some if row not in silent] for some in found]
    sounding = [clip for some in left for _, clip in some]
    for word in wanted_words:
        mute = [clip for clip in quiet if clip.word == word]
        if mute and not any(clip.word == word for clip in sounding):
            raise DataError(
                f"all {len(mute):,} clips of the word {word!r} are silent, {mute[0].name} for one: "
                "their samples are zero; record them again."
            )
    some = ", ".join(clip.name for clip in quiet[:3]) + (" and others" if len(quiet) > 3 else "")
    print(f"Silent clips (all zero) are left out, {len(quiet):,}: {some}.", flush=True)
    check_splits(sounding, wanted_words)
    return left


def _compose(
    found: Found,
    split: str,
    labels: dict[str, int],
    silence_percentage: float,
    unknown_percentage: float,
    seed: int,
) -> list[tuple[int, int, str, str]]:
    """What one source puts into one split: label, row, source and name of each."""
    here = [(row, clip) for row, clip in found if clip.split == split]
    wanted = [(labels[c.word], row, c.source, c.name) for row, c in here if c.word in labels]
    unknown = [(UNKNOWN, row, c.source, c.name) for row, c in here if c.word not in labels]
    if split == TRAINING:
        return wanted + unknown
    order = np.random.default_rng([seed, SPLITS.index(split)]).permutation(len(unknown))
    picked = sorted(order[: math.ceil(len(wanted) * unknown_percentage / 100)])
    silences = math.ceil(len(wanted) * silence_percentage / 100)
    silence = [(SILENCE, SILENT_ROW, found[0][1].source, "")] * silences if found else []
    return wanted + [unknown[i] for i in picked] + silence


def _split(entries: list[tuple[int, int, str, str]], audio: list[np.ndarray]) -> Split:
    label, row, source, name = zip(*entries, strict=True) if entries else ((), (), (), ())
    return Split(
        audio=Rows(audio, np.array(row, np.int64)),
        label=np.array(label, np.int32),
        source=np.array(source, str),
        name=np.array(name, str),
    )


def check_splits(clips: list[Clip], wanted_words: Sequence[str]) -> None:
    """Raise DataError for a word of too few clips, or without one in some split: nothing would
    judge it."""
    words: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        words[clip.word].append(clip)
    for word in wanted_words:
        _check_split(word, words[word])


def _check_split(word: str, clips: list[Clip]) -> None:
    advice = "about 30 speakers are needed, or synthetic clips too."
    missing = [split for split in SPLITS if split not in {clip.split for clip in clips}]
    speakers = {(clip.source, clip.speaker) for clip in clips}
    rule = "the part of a file name before _nohash_"
    if missing and len(speakers) == 1:
        raise DataError(
            f"the word {word!r} has no clip for {missing[0]}: all its clips are of one speaker "
            f"({rule}), and a speaker is in one split only; {advice}"
        )
    if missing:
        raise DataError(
            f"the word {word!r} has no clip for {missing[0]}: its {len(speakers)} speakers "
            f"({rule}) all fall into other splits; {advice}"
        )
    if len(clips) < FEWEST:
        raise DataError(
            f"the word {word!r} has {len(clips)} clips, and at least {FEWEST} are needed to learn "
            f"and judge it; {advice}"
        )


def _check_percentages(validation_percentage: float, testing_percentage: float) -> None:
    both = validation_percentage, testing_percentage
    if min(both) <= 0 or sum(both) >= 100:
        raise DataError(
            f"--validation_percentage {both[0]:g} and --testing_percentage {both[1]:g} leave a "
            "split empty: each must be above 0 and both together below 100."
        )


def _check(
    source: FolderSource, wanted_words: Sequence[str], cache_dir: str | Path, name: str
) -> None:
    """Check a folder and say what it holds."""
    decoded = is_stored(source, Path(cache_dir))
    found = check_folder(source.folder, wanted_words, decoded=decoded)
    line = f"{name}: {sum(found.words.values()):,} clips of {len(found.words)} words"
    if found.converted:
        line += f"; {found.converted:,} recordings are converted to 16-bit 16 kHz"
    print(line, flush=True)
