"""A long test recording of held-out wanted words, other speech and noise.

The gaps between words are as in upstream's generate_streaming_test_wav.py: two seconds on average,
most of the time with noise at up to a tenth of full scale. In addition there are stretches of noise
alone, at any volume.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vm_startup.conventions import SAMPLE_RATE
from vm_startup.speech_commands.data.dataset import FIRST_WORD_INDEX, UNKNOWN_INDEX, Split

MAX_SECONDS = 3600  # approximately
PER_WORD = 15  # seconds of recording for each wanted word, within MAX_SECONDS
GAP = (1.0, 3.0)  # seconds before each clip
NOISE = (2.0, 10.0)  # seconds of each stretch of noise alone
SCENE = (10.0, 30.0)  # seconds with one background
VOLUME, FREQUENCY = 0.1, 0.8  # of a background: at most, and the share of scenes with one


@dataclass(frozen=True)
class Stream:
    """The recording and the positions of its wanted words."""

    audio: np.ndarray  # int16 [samples]
    onset: np.ndarray  # int64 [words]: first sample of each word's clip, ascending
    label: np.ndarray  # int32 [words]
    others: int  # clips of other speech


def compose(split: Split, background: Sequence[np.ndarray], rng: np.random.Generator) -> Stream:
    """A recording of a split's wanted words, each once, over the noises in `background`.

    Every word is at least a second away from other clips. At least half of the time holds unknown
    words, repeated if there are few, and noise alone. If there are too many wanted words for that,
    a random part of them is used.
    """
    rate, samples = SAMPLE_RATE, split.audio.shape[1]
    order = _order(split.label, rng)
    spoken = order >= 0
    length = np.where(spoken, samples, (rng.uniform(*NOISE, len(order)) * rate).astype(int))
    gap = (rng.uniform(*GAP, len(order)) * rate).astype(int)
    onset = np.cumsum(gap + length) - length
    ends = int((gap + length).sum()) + 2 * rate  # time to detect the last word
    audio = np.zeros(ends, np.int16)
    for start, stop in _scenes(ends, rng):
        _add(audio[start:stop], background, VOLUME * (rng.random() < FREQUENCY), rng)
    for start, count, clip in zip(onset, length, order, strict=True):
        part = audio[start : start + count]
        if clip >= 0:
            part[:] = np.clip(part + split.audio[clip].astype(np.int32), -32768, 32767)
        else:
            _add(part, background, 1.0, rng)
    wanted = spoken & (split.label[order] >= FIRST_WORD_INDEX)
    return Stream(audio, onset[wanted], split.label[order[wanted]], int((spoken & ~wanted).sum()))


def _order(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The order of the clips: int64 indices, −1 for a stretch of noise."""
    slot = 1 + np.mean(GAP)  # seconds of a clip and the gap before it
    wanted = rng.permutation(np.flatnonzero(label >= FIRST_WORD_INDEX))
    wanted = wanted[: int(MAX_SECONDS / 2 / slot)]
    rest = min(MAX_SECONDS, PER_WORD * len(wanted)) - slot * len(wanted)
    unknown = rng.permutation(np.flatnonzero(label == UNKNOWN_INDEX))
    others = np.resize(unknown, round(rest / 2 / slot) if len(unknown) else 0)
    alone = (rest - slot * len(others)) / (np.mean(NOISE) + np.mean(GAP))
    return rng.permutation(np.concatenate([wanted, others, np.full(round(alone), -1)]))


def _scenes(ends: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    start = 0
    while start < ends:
        stop = start + int(rng.uniform(*SCENE) * SAMPLE_RATE)
        yield start, stop
        start = stop


def _add(
    audio: np.ndarray, background: Sequence[np.ndarray], volume: float, rng: np.random.Generator
) -> None:
    """Add one background, from a random position and repeated as needed, to int16 samples."""
    noises = [noise for noise in background if len(noise)]
    if not noises:
        return
    noise = noises[rng.integers(len(noises))]
    start = rng.integers(len(noise))
    piece = np.resize(np.roll(noise, -start), len(audio))
    audio[:] = np.clip(audio + piece * (rng.uniform(0, volume) * 32768), -32768, 32767)
