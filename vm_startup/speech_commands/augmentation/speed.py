"""Clips read faster or slower: speed and pitch change together, as they do between speakers."""

import functools
import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

GRAIN = 64  # speeds are whole multiples of 1/64, so that the same weights serve every 64 samples
TAPS = 8  # samples on either side that a sample between two is made of
_CALM = 25  # times 64 samples at once: products small enough that BLAS starts no thread for them


def draw(width: float, how_many: int, rng: np.random.Generator) -> np.ndarray:
    """Speeds in 64ths between exp(-width) and exp(width): int64 [how_many]."""
    slowest, fastest = (GRAIN * math.exp(end) for end in (-width, width))
    return rng.integers(math.ceil(slowest), math.floor(fastest) + 1, how_many)


def read(audio: np.ndarray, speeds: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Clips (int16 [n, samples]) read about their middles: float32 [n, samples].

    `speeds` are in 64ths; `delays` are samples of the recording that come before its first. Zeros
    are where nothing was.
    """
    samples = audio.shape[1]
    blocks = -(-samples // (GRAIN * _CALM)) * _CALM
    firsts = [
        _first(samples, int(speed)) - int(by) for speed, by in zip(speeds, delays, strict=True)
    ]
    before = TAPS + max(0, -min(firsts, default=0))
    lasts = [first + blocks * int(s) for first, s in zip(firsts, speeds, strict=True)]
    after = GRAIN + 2 * TAPS + max(0, max(lasts, default=0) - samples)
    padded = np.zeros(before + samples + after, np.float32)
    result = np.empty((len(audio), samples), np.float32)
    for clip, speed, first, row in zip(audio, speeds, firsts, result, strict=True):
        weights = _weights(samples, int(speed))
        padded[before : before + samples] = clip
        heard = as_strided(padded[before + first - TAPS :], (blocks, len(weights)), (4 * speed, 4))
        heard = np.ascontiguousarray(heard).reshape(-1, _CALM, len(weights))
        row[:] = (heard @ weights).reshape(-1)[:samples]
    return result


def _first(samples: int, speed: int) -> int:
    """The sample that the first one read lies at or just after."""
    return math.floor((samples - 1) / 2 * (1 - speed / GRAIN))


@functools.cache
def _weights(samples: int, speed: int) -> np.ndarray:
    """What 64 neighbouring results take from the samples around them: float32 [samples, 64].

    A sinc within a cosine's arch, as wide as keeps out what would be above half the rate.
    """
    ratio = speed / GRAIN
    start = (samples - 1) / 2 * (1 - ratio) - _first(samples, speed)
    place = start + np.arange(GRAIN) * ratio
    away = place - (np.arange(speed + 2 * TAPS)[:, np.newaxis] - TAPS)
    kept = min(1.0, 1 / ratio)
    weights = np.sinc(kept * away) * np.cos(np.pi / 2 * np.clip(away / TAPS, -1, 1)) ** 2
    return (weights / weights.sum(0)).astype(np.float32)
