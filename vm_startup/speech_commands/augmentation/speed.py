"""Changes the speed of clips by resampling: speed and pitch change together."""

import functools
import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

STEPS = 64  # speeds are whole multiples of 1/64, so that every 64 samples have the same weights
TAPS = 8  # samples on either side that one output sample is interpolated from
_BLOCKS = 25  # of 64 samples in one matrix product, so small that BLAS uses one thread


def draw(width: float, how_many: int, rng: np.random.Generator) -> np.ndarray:
    """Speeds in 64ths between exp(-width) and exp(width): int64 [how_many]."""
    slowest, fastest = (STEPS * math.exp(end) for end in (-width, width))
    return rng.integers(math.ceil(slowest), math.floor(fastest) + 1, how_many)


def change(audio: np.ndarray, speeds: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Clips (int16 [n, samples]) at other speeds about their middles: float32 [n, samples].

    `speeds` are in 64ths; a clip is delayed by `delays` samples of the recording. Zeros fill the
    gaps.
    """
    samples = audio.shape[1]
    blocks = -(-samples // (STEPS * _BLOCKS)) * _BLOCKS
    firsts = [
        _first(samples, int(speed)) - int(by) for speed, by in zip(speeds, delays, strict=True)
    ]
    before = TAPS + max(0, -min(firsts, default=0))
    lasts = [first + blocks * int(s) for first, s in zip(firsts, speeds, strict=True)]
    after = STEPS + 2 * TAPS + max(0, max(lasts, default=0) - samples)
    padded = np.zeros(before + samples + after, np.float32)
    result = np.empty((len(audio), samples), np.float32)
    for clip, speed, first, row in zip(audio, speeds, firsts, result, strict=True):
        weights = _weights(samples, int(speed))
        padded[before : before + samples] = clip
        windows = as_strided(
            padded[before + first - TAPS :], (blocks, len(weights)), (4 * speed, 4)
        )
        windows = np.ascontiguousarray(windows).reshape(-1, _BLOCKS, len(weights))
        row[:] = (windows @ weights).reshape(-1)[:samples]
    return result


def _first(samples: int, speed: int) -> int:
    """The input sample at or just before the first output sample."""
    return math.floor((samples - 1) / 2 * (1 - speed / STEPS))


@functools.cache
def _weights(samples: int, speed: int) -> np.ndarray:
    """The interpolation weights of 64 neighbouring output samples: float32 [input samples, 64].

    A sinc under a raised cosine; its width keeps frequencies above half the rate out.
    """
    ratio = speed / STEPS
    start = (samples - 1) / 2 * (1 - ratio) - _first(samples, speed)
    place = start + np.arange(STEPS) * ratio
    away = place - (np.arange(speed + 2 * TAPS)[:, np.newaxis] - TAPS)
    kept = min(1.0, 1 / ratio)
    weights = np.sinc(kept * away) * np.cos(np.pi / 2 * np.clip(away / TAPS, -1, 1)) ** 2
    return (weights / weights.sum(0)).astype(np.float32)
