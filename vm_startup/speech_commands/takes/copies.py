"""The same sound under several names: copied, converted, or encoded again by a lossy codec.

Copies on both sides of a split would be a test on what was trained on. A print, the clip's loudness
over time, finds pairs that may be copies; their waveforms decide. `benchmarks/recordings.py copies`
shows how far copies and other takes of one speaker lie apart.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

FRAMES = 100  # of 10 ms, in a print
STEP_DB, FLOOR = 0.5, 40  # a print's values are STEP_DB apart and end FLOOR steps below the loudest
NEAR = 2  # steps between the prints of copies, on average over the frames above the floor
LEAST_FRAMES = 8  # that an average is over
ALIKE = np.array([1.0, 1.0, 12.0])  # how far apart the shapes of copies may be, see _shapes
BAND = slice(300, 3450)  # Hz in a spectrum of one second, without hum and what codecs leave out
LAGS = 4096  # of a correlation, in a second
LAG = LAGS // 10  # that an encoder may delay
SPECTRA = 2000  # kept while pairs are compared, 50 kB each
SAME = 0.8  # correlation above which two clips are one sound; takes of one speaker are below 0.72


def print_of(clip: np.ndarray) -> str:
    """The loudness of int16 [16000] in each 10 ms, relative to the loudest: one character each."""
    frames = np.abs(clip.astype(np.int32)).reshape(FRAMES, -1).sum(1, dtype=np.int32)
    steps = np.rint(20 / STEP_DB * np.log10((frames + 1.0) / (frames.max() + 1.0)))
    return bytes((48 + FLOOR + np.maximum(steps, -FLOOR)).astype(np.uint8)).decode("ascii")


def find(prints: Sequence[str], audio: Callable[[int], np.ndarray]) -> list[int]:
    """For each clip the first clip with the same sound; its own index where no other has it.

    `audio` gives a clip's samples, int16 [16000], for the few pairs whose prints are alike.
    """
    first = list(range(len(prints)))
    alike: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(prints):
        alike[text].append(index)
    pairs = [(indices[0], index) for indices in alike.values() for index in indices[1:]]
    pairs += _near([indices[0] for indices in alike.values()], list(alike))
    spectrum = lru_cache(SPECTRA)(lambda index: _spectrum(audio(index)))
    for one, other in sorted((min(pair), max(pair)) for pair in pairs):
        if first[other] == other and _correlation(spectrum(one), spectrum(other)) >= SAME:
            first[other] = first[one]
    return first


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """How alike two clips are, 0 to 1, at any level, up to LAG apart and in BAND: the largest
    magnitude of the correlation of their spectra, which are half flattened, so that a vowel of the
    same pitch does not look like the same take."""
    return _correlation(_spectrum(one), _spectrum(other))


def _spectrum(clip: np.ndarray) -> np.ndarray:
    """complex128 [bins of BAND], half flattened, of energy 1."""
    spectrum = np.fft.rfft(clip.astype(np.float64))[BAND]
    flat = spectrum / np.sqrt(np.abs(spectrum) + 1e-9)
    return flat / max(float(np.sqrt(np.square(np.abs(flat)).sum())), 1e-9)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    # Without the frequencies below BAND, a short transform has the envelope of all lags.
    envelope = np.abs(np.fft.ifft(one * other.conj(), LAGS)) * LAGS
    return float(max(envelope[: LAG + 1].max(), envelope[-LAG:].max()))


def _near(indices: list[int], prints: list[str]) -> list[tuple[int, int]]:
    """Pairs of different prints that may be of one sound."""
    if not prints:
        return []
    text = np.frombuffer("".join(prints).encode("ascii"), np.int8)
    steps = text.reshape(len(prints), FRAMES) - np.int8(48)
    shapes = _shapes(steps)
    order = np.argsort(shapes[0], kind="stable")
    steps, shapes = steps[order], shapes[:, order]
    ends = np.searchsorted(shapes[0], shapes[0] + ALIKE[0], "right")
    pairs = []
    for at, end in enumerate(ends):
        apart = np.abs(shapes[1:, at + 1 : end] - shapes[1:, at : at + 1])
        others = at + 1 + np.flatnonzero((apart <= ALIKE[1:, np.newaxis]).all(0))
        active = np.maximum(((steps[others] > 0) | (steps[at] > 0)).sum(1), LEAST_FRAMES)
        apart = np.abs(steps[others] - steps[at]).sum(1, dtype=np.int64)
        for near in others[apart <= NEAR * active]:
            pairs.append((indices[order[at]], indices[order[near]]))
    return pairs


def _shapes(steps: np.ndarray) -> np.ndarray:
    """What a pair of prints is looked up by: float64 [3, n], the centre of the loudness and its
    spread, in frames, and the number of frames above the floor."""
    loudness, frame = 10.0 ** (steps * (STEP_DB / 20)), np.arange(FRAMES)
    centre = (loudness * frame).sum(1) / loudness.sum(1)
    apart = np.square(frame - centre[:, np.newaxis])
    spread = np.sqrt((loudness * apart).sum(1) / loudness.sum(1))
    return np.array([centre, spread, (steps > 0).sum(1)])
