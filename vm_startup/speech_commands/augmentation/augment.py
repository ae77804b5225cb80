"""Upstream's time shift and background noise for clips; masks and mixup for features."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SILENCE_VOLUME = 1.0  # silence is background at any volume up to full


class Background:
    """Noises to cut clips from: float32 in [-1, 1]; a shorter one is repeated to fill a clip."""

    def __init__(self, noises: Sequence[np.ndarray], samples: int) -> None:
        noises = [np.resize(noise, max(len(noise), samples + 1)) for noise in noises if len(noise)]
        lengths = np.array([len(noise) for noise in noises], np.int64)
        self._starts = np.cumsum(lengths) - lengths
        self._choices = lengths - samples
        joined = np.concatenate(noises or [np.zeros(samples)]).astype(np.float32)
        self._cuts = sliding_window_view(joined, samples)

    def __bool__(self) -> bool:
        return len(self._starts) > 0

    def cut(self, how_many: int, rng: np.random.Generator) -> np.ndarray:
        """Random pieces of random noises: float32 [how_many, samples]."""
        noise = rng.integers(len(self._starts), size=how_many)
        return self._cuts[self._starts[noise] + rng.integers(self._choices[noise])]


def augment(
    audio: np.ndarray,
    silent: np.ndarray,
    background: Background,
    rng: np.random.Generator,
    *,
    time_shift: int,
    volume: float,
    frequency: float,
) -> np.ndarray:
    """Shifted and noisy copies of clips: int16 [n, samples] → int16 [n, samples].

    Each clip moves by up to `time_shift` samples either way; zeros fill the gap. A share
    `frequency` of the clips gets background of a volume up to `volume`; those marked in `silent`
    (bool [n]) become background alone, at any volume. Sums are clamped, never wrapped.
    """
    wave = shift(audio, rng, time_shift).astype(np.float32)
    wave[silent] = 0
    add_background(wave, silent, background, rng, volume=volume, frequency=frequency)
    return to_int16(wave)


def add_background(
    wave: np.ndarray,
    silent: np.ndarray,
    background: Background,
    rng: np.random.Generator,
    *,
    volume: float,
    frequency: float,
) -> None:
    """Add background to clips (float32 [n, samples], in int16's units) as `augment` does."""
    if not background:
        return
    gain = rng.uniform(0, volume, len(wave)) * (rng.uniform(0, 1, len(wave)) < frequency)
    gain = np.where(silent, rng.uniform(0, SILENCE_VOLUME, len(wave)), gain)
    gain = gain.astype(np.float32)
    wave += background.cut(len(wave), rng) * (gain * 32768)[:, np.newaxis]


def to_int16(wave: np.ndarray) -> np.ndarray:
    """Samples rounded towards zero and clamped to int16."""
    return np.clip(wave, -32768, 32767).astype(np.int16)


def shift(audio: np.ndarray, rng: np.random.Generator, limit: int) -> np.ndarray:
    """Clips moved by random amounts in [-limit, limit) samples; zeros fill the gap."""
    if limit == 0:
        return audio
    samples = audio.shape[1]
    padded = np.pad(audio, ((0, 0), (limit, limit)))
    offset = limit - rng.integers(-limit, limit, len(audio))
    return sliding_window_view(padded, samples, axis=1)[np.arange(len(audio)), offset]


def mask(features: np.ndarray, rng: np.random.Generator, *, frames: float, channels: float) -> None:
    """Set a stripe of frames and one of channels to zero in float32 [n, frames, channels].

    A stripe is up to `frames` frames or `channels` channels wide, and begins anywhere.
    """
    count, rows, columns = features.shape
    stripes = _stripes(count, rows, frames, rng), _stripes(count, columns, channels, rng)
    for clip, masked_rows, masked_columns in zip(features, *stripes, strict=True):
        clip[masked_rows] = 0
        clip[:, masked_columns] = 0


def _stripes(how_many: int, size: int, widest: float, rng: np.random.Generator) -> list[slice]:
    start = rng.uniform(0, size, how_many)
    end = start + rng.uniform(0, widest, how_many)
    return list(map(slice, np.ceil(start).astype(int), np.ceil(end).astype(int)))


def mixup(
    features: np.ndarray,
    labels: np.ndarray,
    label_count: int,
    share: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """A share of the clips mixed with the next clip of the batch, labels in the same proportion.

    float32 [n, size] and int32 [n] → float32 [n, size] and float32 [n, label_count]. A clip's own
    part is at least half.
    """
    count = len(labels)
    mixed = rng.random((count, 1)) < share
    own = np.where(mixed, rng.uniform(0.5, 1, (count, 1)), 1).astype(np.float32)
    one_hot = np.eye(label_count, dtype=np.float32)[labels]
    mixed_features, mixed_labels = (
        own * each + (1 - own) * np.roll(each, 1, 0) for each in (features, one_hot)
    )
    return mixed_features, mixed_labels
