"""The same sound under several names: copied, converted, or encoded again by a lossy codec.

Copies on both sides of a split would be a test on what was trained on. A print, the clip's power
over frequency, finds pairs that may be copies, however far one is shifted; their waveforms decide.
`benchmarks/recordings.py copies` shows how far copies and other takes of one speaker lie apart.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from vm_startup.speech_commands.takes.word_finder import quarter

FOLD = 4  # parts of a clip that are added: its spectrum has every fourth frequency then
PRINT_BAND, WIDTH = slice(200 // FOLD, 1800 // FOLD), 20 // FOLD  # no codec leaves these out
STEP_DB, FLOOR = 0.5, 70  # a print's values are STEP_DB apart and end FLOOR steps below the loudest
NEAR = 0.968  # cosine between the prints of copies; most steady noises are below
ROWS = 256  # prints compared at once with others: 100 MB of 100,000
BAND = slice(300, 3450)  # Hz in a spectrum of one second, without hum and what codecs leave out
LAGS = 8192  # of a correlation, in a second
SPECTRA = 2000  # kept while pairs are compared, 25 kB each
SAME = 0.8  # correlation above which two clips are one sound; takes of one speaker are below 0.75


def print_of(clip: np.ndarray) -> str:
    """The power of int16 [16000] in each WIDTH of PRINT_BAND, relative to the most: one character
    each."""
    folded = clip.astype(np.float32).reshape(FOLD, -1).sum(0)
    spectrum = np.fft.rfft(quarter(folded))[PRINT_BAND]
    power = np.square(spectrum.view(np.float32)).reshape(-1, 2 * WIDTH).sum(1)
    steps = np.rint(10 / STEP_DB * np.log10((power + 1) / (power.max() + 1)))
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
    """How alike two clips are, 0 to 1, at any level, however far apart and in BAND: the largest
    magnitude of the correlation of their spectra, which are half flattened, so that a vowel of the
    same pitch does not look like the same take."""
    return _correlation(_spectrum(one), _spectrum(other))


def _spectrum(clip: np.ndarray) -> np.ndarray:
    """complex64 [bins of BAND], half flattened, of energy 1."""
    spectrum = np.fft.rfft(clip.astype(np.float32))[BAND]
    flat = spectrum / np.sqrt(np.abs(spectrum) + 1e-9)
    return flat / max(float(np.sqrt(np.square(np.abs(flat)).sum())), 1e-9)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    # Without the frequencies below BAND, a short transform has the envelope of all lags.
    return float(np.abs(np.fft.ifft(one * other.conj(), LAGS)).max() * LAGS)


def _near(indices: list[int], prints: list[str]) -> Iterator[tuple[int, int]]:
    """Pairs of different prints that may be of one sound."""
    if len(prints) < 2:
        return
    steps = np.frombuffer("".join(prints).encode("ascii"), np.uint8).reshape(len(prints), -1)
    power = 10 ** ((steps - np.float32(48 + FLOOR)) * (STEP_DB / 10))
    power /= np.linalg.norm(power, axis=1, keepdims=True)
    # Along the direction in which prints differ most, those of copies are within `reach`.
    along = power @ np.linalg.eigh(np.cov(power.T))[1][:, -1].astype(np.float32)
    order = np.argsort(along, kind="stable")
    power, along = power[order], along[order]
    reach = np.sqrt(2 - 2 * NEAR)
    for start in range(0, len(power), ROWS):
        rows = power[start : start + ROWS]
        end = np.searchsorted(along, along[start + len(rows) - 1] + reach, "right")
        for one, other in np.argwhere(rows @ power[start:end].T >= NEAR):
            if one < other:
                yield indices[order[start + one]], indices[order[start + other]]
