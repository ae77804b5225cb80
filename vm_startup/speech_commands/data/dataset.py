"""Clips of several sources, mixed, labelled and split into arrays.

Silence, unknown words and splits follow TensorFlow's speech_commands/input_data.py, source by
source, so that the accuracy on each source can be compared with upstream's.
"""

import itertools
import math
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vm_startup.conventions import SILENCE, UNKNOWN
from vm_startup.speech_commands.data.clip import Clip
from vm_startup.speech_commands.data.clip_store import store
from vm_startup.speech_commands.data.source import Source
from vm_startup.speech_commands.data.stored_audio import SILENT_ROW, StoredAudio
from vm_startup.speech_commands.data.survey_facts import Facts, Survey
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.progress import Progress, log_progress
from vm_startup.speech_commands.speaker_splits import SPLITS, TRAINING
from vm_startup.speech_commands.words import check_words

SILENCE_INDEX, UNKNOWN_INDEX, FIRST_WORD_INDEX = 0, 1, 2  # in Dataset.labels
MIN_CLIPS = 10  # of a word; fewer are not enough to train and evaluate it

Numbered = list[tuple[int, Clip]]  # clips with their rows in all stores together
Entry = tuple[int, int, str, str, str]  # label, row, source, name and group of one clip


@dataclass
class Split:
    """The clips of one split; index i is the same clip in every field."""

    audio: StoredAudio | np.ndarray  # int16 [n, 16000]
    label: np.ndarray  # int32 [n], an index into Dataset.labels
    source: np.ndarray  # str [n]; for silence the source that it was counted for
    name: np.ndarray  # str [n]; "" for silence
    group: np.ndarray  # str [n]: what decides the split, see Clip; "" for silence

    def __len__(self) -> int:
        return len(self.label)


@dataclass
class Dataset:
    """All the audio of a training.

    Validation and testing hold all wanted clips and upstream's share of unknown words and silence.
    Training holds all wanted and all unknown clips and no silence: the trainer draws its batches in
    the proportions it wants and makes silence of zeros and background.
    """

    labels: list[str]  # ["_silence_", "_unknown_", *wanted]
    background: list[np.ndarray]  # float32 in [-1, 1], any length
    splits: dict[str, Split]  # "training", "validation", "testing"
    facts: list[Facts] = field(default_factory=list)  # of each source


def load(
    sources: Sequence[Source],
    wanted_words: Sequence[str],
    *,
    silence_percentage: float = 10.0,
    unknown_percentage: float = 10.0,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    progress: Progress = log_progress,
) -> Dataset:
    """Every source's clips, decoded once into files in `cache_dir`, 32 kB each (None: not kept).

    The percentages are of the wanted clips in each split of each source. `progress` is called as
    progress("Reading recordings", done, total). Raises DataError if a word cannot be used, a word
    has no clip in a split, or the files cannot be written.
    """
    check_words(wanted_words)
    labels = {word: FIRST_WORD_INDEX + i for i, word in enumerate(wanted_words)}
    with nullcontext(cache_dir) if cache_dir else tempfile.TemporaryDirectory() as folder:
        stored = [store(source, Path(folder), progress) for source in sources]
    surveys = [source.survey(its.notes) for source, its in zip(sources, stored, strict=True)]
    for survey in surveys:
        check_usable(survey, wanted_words)
    check_splits(surveys, wanted_words)
    starts = itertools.accumulate((len(its.audio) for its in stored), initial=0)
    numbered = [
        [(start + int(its.rows[clip.row]), clip) for clip in survey.clips]
        for start, its, survey in zip(starts, stored, surveys, strict=False)
    ]
    background = [noise for source in sources for noise in source.background()]
    if not background:
        print("No background noise: all silence is digital zero", flush=True)
    shares = silence_percentage, unknown_percentage
    entries = {
        split: [entry for some in numbered for entry in _select(some, split, labels, *shares, seed)]
        for split in SPLITS
    }
    audio = [its.audio for its in stored]
    return Dataset(
        labels=[SILENCE, UNKNOWN, *wanted_words],
        splits={split: _split(chosen, audio) for split, chosen in entries.items()},
        background=background,
        facts=[survey.facts for survey in surveys],
    )


def _select(
    numbered: Numbered,
    split: str,
    labels: dict[str, int],
    silence_percentage: float,
    unknown_percentage: float,
    seed: int,
) -> list[Entry]:
    """The clips of one source in one split."""
    here = [(row, clip) for row, clip in numbered if clip.split == split]
    found = [
        (labels.get(clip.word, UNKNOWN_INDEX), row, clip.source, clip.name, clip.group)
        for row, clip in here
    ]
    wanted = [entry for entry in found if entry[0] != UNKNOWN_INDEX]
    unknown = [entry for entry in found if entry[0] == UNKNOWN_INDEX]
    if split == TRAINING:
        return wanted + unknown
    order = np.random.default_rng([seed, SPLITS.index(split)]).permutation(len(unknown))
    picked = sorted(order[: math.ceil(len(wanted) * unknown_percentage / 100)])
    silences = math.ceil(len(wanted) * silence_percentage / 100)
    source = numbered[0][1].source if numbered else ""
    silence = [(SILENCE_INDEX, SILENT_ROW, source, "", "")] * (silences if numbered else 0)
    return wanted + [unknown[i] for i in picked] + silence


def _split(entries: list[Entry], audio: list[np.ndarray]) -> Split:
    columns = zip(*entries, strict=True) if entries else [()] * 5
    label, row, source, name, group = columns
    return Split(
        audio=StoredAudio(audio, np.array(row, np.int64)),
        label=np.array(label, np.int32),
        source=np.array(source, str),
        name=np.array(name, str),
        group=np.array(group, str),
    )


def check_usable(survey: Survey, wanted_words: Sequence[str]) -> None:
    """Raise DataError if none of a source's recordings of a word can be used."""
    for word in wanted_words:
        counts = survey.facts.words.get(word)
        if counts and not counts.clips:
            raise DataError(
                f"the word {word!r} has no clip: all {counts.files:,} recordings are left out, "
                f"such as {survey.examples[word]}"
            )


def check_splits(surveys: Sequence[Survey], wanted_words: Sequence[str]) -> None:
    """Raise DataError if a word has too few clips, or none in some split to evaluate it on."""
    for word in wanted_words:
        clips = [clip for survey in surveys for clip in survey.clips if clip.word == word]
        counts = [survey.facts.words[word] for survey in surveys if word in survey.facts.words]
        left_out = sum(facts.left_out for facts in counts)
        _check_split(word, clips, left_out)


def _check_split(word: str, clips: list[Clip], left_out: int) -> None:
    advice = "record about 30 speakers, or add synthetic clips"
    if left_out:
        advice += f"; {left_out:,} of its recordings are left out: launcher data says why"
    missing = [split for split in SPLITS if split not in {clip.split for clip in clips}]
    if missing:
        raise DataError(
            f"the word {word!r} has no clip for {missing[0]}: its {_whose(clips)} all belong to "
            f"other splits; {advice}"
        )
    if len(clips) < MIN_CLIPS:
        raise DataError(
            f"the word {word!r} has {_clips(len(clips))}: training and evaluation need at least "
            f"{MIN_CLIPS}; {advice}"
        )


def _whose(clips: list[Clip]) -> str:
    """How many clips there are, and of whom."""
    named = [(clip.source, clip.speaker) for clip in clips if clip.speaker]
    speakers, unnamed = len(set(named)), len(clips) - len(named)
    of_whom = f"{_clips(len(named))} of {speakers:,} speaker{'s' * (speakers > 1)}"
    nobodys = f"{_clips(unnamed)} that name no speaker"
    return " and ".join([of_whom] * bool(named) + [nobodys] * (bool(unnamed) or not named))


def _clips(count: int) -> str:
    return f"{count:,} clip{'s' * (count != 1)}"
