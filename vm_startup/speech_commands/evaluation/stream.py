"""A long recording that nobody trained on: wanted words, other speech and noise, one after another.

What lies between words is as in upstream's generate_streaming_test_wav.py: gaps of two seconds in
the mean, and noise at up to a tenth of full scale most of the time. Besides there are stretches of
noise alone, at any volume.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vm_startup.speech_commands.data import dataset
from vm_startup.speech_commands.data.clip import SAMPLES

LONGEST = 3600  # seconds, about
PER_WORD = 15  # seconds of recording for each wanted word, as long as that is within LONGEST
GAP = (1.0, 3.0)  # seconds before each clip
NOISE = (2.0, 10.0)  # seconds of each stretch of noise alone
SCENE = (10.0, 30.0)  # seconds for which one background goes on
VOLUME, FREQUENCY = 0.1, 0.8  # of a background: at most, and in what share of scenes


@dataclass(frozen=True)
class Stream:
    """The recording, and where its wanted words are."""

    audio: np.ndarray  # int16 [samples]
    onset: np.ndarray  # int64 [words]: where each word's clip begins, ascending
    label: np.ndarray  # int32 [words]
    others: int  # clips of other speech


def compose(
    split: dataset.Split, background: Sequence[np.ndarray], rng: np.random.Generator
) -> Stream:
    """A recording of a split's wanted words, each once, over the noises in `background`.

    No word comes within a second of another clip. Half of the time at least belongs to unknown
    words, taken again where they are few, and to noise alone; with too many wanted words for that
    some are drawn.
    """
    rate, samples = SAMPLES, split.audio.shape[1]
    order = _order(split.label, rng)
    spoken = order >= 0
    length = np.where(spoken, samples, (rng.uniform(*NOISE, len(order)) * rate).astype(int))
    gap = (rng.uniform(*GAP, len(order)) * rate).astype(int)
    onset = np.cumsum(gap + length) - length
    ends = int((gap + length).sum()) + 2 * rate  # the last word is heard out
    audio = np.zeros(ends, np.int16)
    for start, stop in _scenes(ends, rng):
        _add(audio[start:stop], background, VOLUME * (rng.random() < FREQUENCY), rng)
    for start, much, clip in zip(onset, length, order, strict=True):
        part = audio[start : start + much]
        if clip >= 0:
            part[:] = np.clip(part + split.audio[clip].astype(np.int32), -32768, 32767)
        else:
            _add(part, background, 1.0, rng)
    wanted = spoken & (split.label[order] >= dataset.FIRST_WORD)
    return Stream(audio, onset[wanted], split.label[order[wanted]], int((spoken & ~wanted).sum()))


def _order(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which clip comes when: int64, −1 for a stretch of noise."""
    slot = 1 + np.mean(GAP)  # seconds of a clip and the gap before it
    wanted = rng.permutation(np.flatnonzero(label >= dataset.FIRST_WORD))
    wanted = wanted[: int(LONGEST / 2 / slot)]
    rest = min(LONGEST, PER_WORD * len(wanted)) - slot * len(wanted)
    unknown = rng.permutation(np.flatnonzero(label == dataset.UNKNOWN))
    others = np.resize(unknown, round(rest / 2 / slot) if len(unknown) else 0)
    alone = (rest - slot * len(others)) / (np.mean(NOISE) + np.mean(GAP))
    return rng.permutation(np.concatenate([wanted, others, np.full(round(alone), -1)]))


def _scenes(ends: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    start = 0
    while start < ends:
        stop = start + int(rng.uniform(*SCENE) * SAMPLES)
        yield start, stop
        start = stop


def _add(
    audio: np.ndarray, background: Sequence[np.ndarray], volume: float, rng: np.random.Generator
) -> None:
    """Put one background, from anywhere in it and round and round, on top of int16 samples."""
    noises = [noise for noise in background if len(noise)]
    if not noises:
        return
    noise = noises[rng.integers(len(noises))]
    start = rng.integers(len(noise))
    piece = np.resize(np.roll(noise, -start), len(audio))
    audio[:] = np.clip(audio + piece * (rng.uniform(0, volume) * 32768), -32768, 32767)
