"""Time shift and background noise as upstream draws them, and masks, on whole batches of clips."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import rooms

SILENCE_VOLUME = 1.0  # silence is background at any volume up to full


class Background:
    """Noises to cut from: float32 in [-1, 1]; one shorter than a clip is repeated to fill it."""

    def __init__(self, noises: Sequence[np.ndarray], samples: int) -> None:
        noises = [np.resize(noise, max(len(noise), samples + 1)) for noise in noises if len(noise)]
        lengths = np.array([len(noise) for noise in noises], np.int64)
        self._starts = np.cumsum(lengths) - lengths
        self._choices = lengths - samples
        self._cuts = (
            sliding_window_view(np.concatenate(noises).astype(np.float32), samples)
            if noises
            else None
        )

    def __bool__(self) -> bool:
        return self._cuts is not None

    def cut(self, how_many: int, rng: np.random.Generator) -> np.ndarray:
        """Random seconds of random noises: float32 [how_many, samples]."""
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
    room: bool = False,
) -> np.ndarray:
    """Shifted and noisy copies of clips: int16 [n, samples] → int16 [n, samples].

    Each clip moves by up to `time_shift` samples either way, with zeros where nothing was. A share
    `frequency` of them gets background of a volume up to `volume`; those marked in `silent`
    (bool [n]) get only background, at any volume. With `room` speed, pitch, room, microphone and
    gain vary as well, and silence is sometimes other noise or none. Sums are clamped, never
    wrapped.
    """
    spoken = rooms.respoken(audio, rng) if room else audio
    wave = shift(spoken, rng, time_shift).astype(np.float32)
    if room:
        wave = rooms.recorded(wave, rng)
    wave[silent] = 0
    if background:
        gain = rng.uniform(0, volume, len(wave)) * (rng.uniform(0, 1, len(wave)) < frequency)
        gain = np.where(silent, rng.uniform(0, SILENCE_VOLUME, len(wave)), gain)
        gain = gain.astype(np.float32)
        wave += background.cut(len(wave), rng) * (gain * 32768)[:, np.newaxis]
    if room:
        wave[silent] = rooms.silences(wave[silent], rng)
    return np.clip(wave, -32768, 32767).astype(np.int16)


def shift(audio: np.ndarray, rng: np.random.Generator, limit: int) -> np.ndarray:
    """Clips moved by random amounts in [-limit, limit) samples, zeros where nothing was."""
    if limit == 0:
        return audio
    samples = audio.shape[1]
    padded = np.pad(audio, ((0, 0), (limit, limit)))
    offset = limit - rng.integers(-limit, limit, len(audio))
    return sliding_window_view(padded, samples, axis=1)[np.arange(len(audio)), offset]


def mask(
    pictures: np.ndarray, rng: np.random.Generator, *, frames: float, channels: float
) -> np.ndarray:
    """Pictures (float32 [n, rows, columns]) with a stripe of each way set to zero.

    A stripe is up to `frames` rows or up to `channels` columns wide, and begins anywhere.
    """
    _, rows, columns = pictures.shape
    hidden_rows = _stripes(len(pictures), rows, frames, rng)[:, :, np.newaxis]
    hidden_columns = _stripes(len(pictures), columns, channels, rng)[:, np.newaxis, :]
    return np.where(hidden_rows | hidden_columns, np.float32(0), pictures)


def _stripes(how_many: int, size: int, widest: float, rng: np.random.Generator) -> np.ndarray:
    """Which of `size` places each stripe covers: bool [how_many, size]."""
    start = rng.uniform(0, size, (how_many, 1))
    end = start + rng.uniform(0, widest, (how_many, 1))
    places = np.arange(size)
    return (start <= places) & (places < end)
