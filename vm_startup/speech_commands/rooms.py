"""Other speakers, rooms and microphones for recordings, on top of upstream's shift and noise."""

import numpy as np

from . import acoustics

SPEED = 0.16  # how far speed and pitch may move together, as a logarithm
IN_ROOMS = 0.5  # share of the clips that pass a room and a microphone
GAIN = (-12.0, 4.0)  # dB
BACKGROUND, COLOURED = 16 / 26, 8 / 26  # shares of silence; what is left is digital zero
NOISE_DEVIATION = 3000.0  # of coloured noise at 0 dB, in int16's units
NOISE_GAIN = (-60.0, 10.0)  # dB


def respoken(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clips quicker and higher, or slower and lower, about their middles: float32, as long."""
    speeds = np.exp(rng.uniform(-SPEED, SPEED, len(audio)))
    return np.stack([resampled(clip, speed) for clip, speed in zip(audio, speeds, strict=True)])


def resampled(clip: np.ndarray, speed: float) -> np.ndarray:
    """One clip read at a speed by cubic interpolation, zeros where nothing was: float32."""
    samples, middle = len(clip), (len(clip) - 1) / 2
    places = middle + (np.arange(samples) - middle) * speed
    before = np.floor(places).astype(np.int64)
    part = (places - before).astype(np.float32)
    # Two zeros on either side: whatever lies farther out is read from them.
    padded = np.pad(clip.astype(np.float32), 2)
    a, b, c, d = (padded[np.clip(before + shift, 0, samples + 3)] for shift in (1, 2, 3, 4))
    bend = part * (3 * (b - c) + d - a) + 2 * a - 5 * b + 4 * c - d
    return b + 0.5 * part * (c - a + part * bend)


def recorded(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clips as other microphones hear them, half of them in rooms: float32 [n, samples]."""
    heard = wave.copy()
    for index in np.flatnonzero(rng.random(len(wave)) < IN_ROOMS):
        heard[index] = acoustics.through_room_and_microphone(wave[index], rng)
    return heard * _amplitudes(GAIN, len(wave), rng)


def silences(background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some of these silences (float32 [n, samples]) replaced by coloured noise, some by nothing."""
    chance = rng.random(len(background))
    silence = np.where((chance < BACKGROUND)[:, np.newaxis], background, np.float32(0))
    coloured = (chance >= BACKGROUND) & (chance < BACKGROUND + COLOURED)
    loudness = _amplitudes(NOISE_GAIN, len(background), rng)
    for index in np.flatnonzero(coloured):
        noise = acoustics.noise(background.shape[1], rng)
        silence[index] = noise * (NOISE_DEVIATION / noise.std()) * loudness[index]
    return silence


def _amplitudes(
    decibels: tuple[float, float], how_many: int, rng: np.random.Generator
) -> np.ndarray:
    return (10 ** (rng.uniform(*decibels, (how_many, 1)) / 20)).astype(np.float32)
