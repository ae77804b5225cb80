"""Rooms, microphones and noises, so that synthetic speech meets the models as recordings do.

Signals are float64 with int16's units where a level matters, at 16 kHz; every random choice comes
from the generator that is passed in.
"""

from functools import lru_cache

import numpy as np

RATE = 16_000  # Hz
FULL_SCALE = 32768.0
COLOURS = {"white": 0.0, "pink": -0.5, "brown": -1.0}  # exponent of frequency in the amplitude

_FRAME = 160  # samples in 10 ms, over which a level is taken


def trim(speech: np.ndarray, rate: int) -> np.ndarray:
    """The speech without what is 45 dB below its loudest 10 ms at either end; it may be empty."""
    frame = rate // 100
    padded = np.zeros(-(-len(speech) // frame) * frame)
    padded[: len(speech)] = speech
    energy = (padded.reshape(-1, frame) ** 2).mean(1)
    loud = np.flatnonzero(energy > max(energy.max(initial=0) * 10**-4.5, 1.0))
    return speech[loud[0] * frame : (loud[-1] + 1) * frame] if len(loud) else speech[:0]


def through_room_and_microphone(speech: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The speech with short reverberation and an uneven frequency response, as long as it was."""
    size = len(speech) + RATE // 2  # room for the longest tail, so that none wraps around
    spectrum = np.fft.rfft(speech, size) * response(size, random)
    return np.fft.irfft(spectrum, size)[: len(speech)]


def response(size: int, random: np.random.Generator) -> np.ndarray:
    """What a room and a microphone make of each frequency: complex128 [size // 2 + 1]."""
    room = np.fft.rfft(_room(random), size)
    return room * _microphone(size, random)


def at_level(signal: np.ndarray, decibels: float) -> np.ndarray:
    """The signal scaled so that its loudest 10 ms have this level below full scale."""
    return signal * (FULL_SCALE * 10 ** (decibels / 20) / max(loudest(signal), 1e-9))


def loudest(signals: np.ndarray) -> np.ndarray:
    """The root mean square of the loudest 10 ms of each signal: [..., samples] → [...]."""
    frames = signals[..., : signals.shape[-1] // _FRAME * _FRAME]
    frames = frames.reshape(*signals.shape[:-1], -1, _FRAME)
    return np.sqrt((frames**2).mean(-1).max(-1, initial=0))


def noise(
    samples: int, random: np.random.Generator, colour: str | None = None, hum: float = 0.0
) -> np.ndarray:
    """Noise of one of COLOURS or of a random slope; `hum` is mains hum, as strong as that is 1."""
    frequencies = np.maximum(_frequencies(samples), 20.0)
    exponent = random.uniform(-1.2, 0.2) if colour is None else COLOURS[colour]
    white = random.standard_normal((2, len(frequencies)))
    spectrum = (white[0] + 1j * white[1]) * frequencies**exponent
    if hum:
        mains = random.choice([50, 60]) * np.arange(1, 7)  # Hz: the wave and its harmonics
        lines = random.uniform(0.1, 1, 6) / np.arange(1, 7) * np.exp(2j * np.pi * random.random(6))
        strength = hum * np.linalg.norm(spectrum) / np.linalg.norm(lines)
        spectrum[mains * samples // RATE] += strength * lines
    return np.fft.irfft(spectrum, samples)


@lru_cache(maxsize=8)  # a tenth of a clip's time otherwise
def _frequencies(samples: int) -> np.ndarray:
    """Those of the spectrum of so many samples, Hz."""
    return np.fft.rfftfreq(samples, 1 / RATE)


@lru_cache(maxsize=8)
def _octaves(samples: int) -> np.ndarray:
    """Their logarithms, from 1 Hz."""
    return np.log2(np.maximum(_frequencies(samples), 1.0))


def _room(random: np.random.Generator) -> np.ndarray:
    """An impulse response: the direct sound and an exponentially fading tail."""
    seconds = random.uniform(0.05, 0.45)  # until the tail is 60 dB down
    response = random.standard_normal(int(seconds * RATE))
    response *= 10 ** (-3 * np.arange(len(response)) / len(response))
    response[: int(random.uniform(0.001, 0.01) * RATE)] = 0  # the way to the nearest wall
    direct_to_tail = random.uniform(3, 30)  # dB
    tail = np.sqrt((response**2).sum())
    response *= 10 ** (-direct_to_tail / 20) / max(tail, 1e-9)
    response[0] = 1
    return response


def _microphone(samples: int, random: np.random.Generator) -> np.ndarray:
    """Gains over frequency: a wandering curve between a low cut and sometimes a high one."""
    frequencies = _frequencies(samples)
    knots = np.log2([60, 150, 400, 900, 2000, 4000, 6000, 8000])
    gains = 10 ** (np.interp(_octaves(samples), knots, random.normal(0, 4, len(knots))) / 20)
    gains *= 1 / np.sqrt(1 + (random.uniform(30, 250) / np.maximum(frequencies, 1.0)) ** 4)
    if random.random() < 0.3:
        gains *= 1 / np.sqrt(1 + (frequencies / random.uniform(3500, 7500)) ** 8)
    return gains
