"""Simulated rooms, microphones and noises, which make clean speech sound recorded.

Signals are float64 at 16 kHz, in int16's units where the level matters. Every random choice comes
from the generator that is passed in.
"""

from functools import lru_cache

import numpy as np

from vm_startup.conventions import SAMPLE_RATE

FULL_SCALE = 32768.0
COLOURS = {"white": 0.0, "pink": -0.5, "brown": -1.0}  # exponent of frequency in the amplitude

_FRAME = 160  # samples in 10 ms, over which a level is taken


def trim(speech: np.ndarray, rate: int) -> np.ndarray:
    """The speech without its ends that are 45 dB below its loudest 10 ms; it may be empty."""
    frame = rate // 100
    padded = np.zeros(-(-len(speech) // frame) * frame)
    padded[: len(speech)] = speech
    energy = (padded.reshape(-1, frame) ** 2).mean(1)
    loud = np.flatnonzero(energy > max(float(energy.max(initial=0)) * 10**-4.5, 1.0))
    return speech[loud[0] * frame : (loud[-1] + 1) * frame] if len(loud) else speech[:0]


def through_room_and_microphone(speech: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The speech with short reverberation and an uneven frequency response, of the same length."""
    size = len(speech) + SAMPLE_RATE // 2  # space for the longest tail, so that none wraps around
    spectrum = np.fft.rfft(speech, size) * response(size, random)
    return np.fft.irfft(spectrum, size)[: len(speech)]


def response(size: int, random: np.random.Generator) -> np.ndarray:
    """The frequency response of a room and a microphone: complex128 [size // 2 + 1]."""
    room = np.fft.rfft(_room(random), size)
    return room * _microphone(size, random)


def at_level(signal: np.ndarray, decibels: float) -> np.ndarray:
    """The signal scaled so that its loudest 10 ms have this level below full scale."""
    return signal * (FULL_SCALE * 10 ** (decibels / 20) / max(float(loudest(signal)), 1e-9))


def loudest(signals: np.ndarray) -> np.ndarray:
    """The root mean square of the loudest 10 ms of each signal: [..., samples] → [...]."""
    frames = signals[..., : signals.shape[-1] // _FRAME * _FRAME]
    frames = frames.reshape(*signals.shape[:-1], -1, _FRAME)
    return np.sqrt((frames**2).mean(-1).max(-1, initial=0))


def noise(
    samples: int, random: np.random.Generator, colour: str | None = None, hum: float = 0.0
) -> np.ndarray:
    """Noise of one of COLOURS or of a random slope, with mains hum of `hum` times its strength."""
    frequencies = np.maximum(_frequencies(samples), 20.0)
    exponent = random.uniform(-1.2, 0.2) if colour is None else COLOURS[colour]
    white = random.standard_normal((2, len(frequencies)))
    spectrum = (white[0] + 1j * white[1]) * frequencies**exponent
    if hum:
        mains = random.choice([50, 60]) * np.arange(1, 7)  # Hz: the wave and its harmonics
        lines = random.uniform(0.1, 1, 6) / np.arange(1, 7) * np.exp(2j * np.pi * random.random(6))
        strength = hum * np.linalg.norm(spectrum) / np.linalg.norm(lines)
        spectrum[mains * samples // SAMPLE_RATE] += strength * lines
    return np.fft.irfft(spectrum, samples)


@lru_cache(maxsize=8)  # saves a tenth of a clip's time
def _frequencies(samples: int) -> np.ndarray:
    """The frequencies in the spectrum of so many samples, Hz."""
    return np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)


@lru_cache(maxsize=8)
def _octaves(samples: int) -> np.ndarray:
    """Their logarithms to base 2, from 1 Hz."""
    return np.log2(np.maximum(_frequencies(samples), 1.0))


def _room(random: np.random.Generator) -> np.ndarray:
    """An impulse response: the direct sound and an exponentially decaying tail."""
    seconds = random.uniform(0.05, 0.45)  # until the tail has decayed by 60 dB
    response = random.standard_normal(int(seconds * SAMPLE_RATE))
    response *= 10 ** (-3 * np.arange(len(response)) / len(response))
    response[: int(random.uniform(0.001, 0.01) * SAMPLE_RATE)] = (
        0  # the distance to the nearest wall
    )
    direct_to_tail = random.uniform(3, 30)  # dB
    tail = np.sqrt((response**2).sum())
    response *= 10 ** (-direct_to_tail / 20) / max(tail, 1e-9)
    response[0] = 1
    return response


def _microphone(samples: int, random: np.random.Generator) -> np.ndarray:
    """Gains over frequency: a random curve with a low cut and sometimes a high cut."""
    frequencies = _frequencies(samples)
    knots = np.log2([60, 150, 400, 900, 2000, 4000, 6000, 8000])
    gains = 10 ** (np.interp(_octaves(samples), knots, random.normal(0, 4, len(knots))) / 20)
    gains *= 1 / np.sqrt(1 + (random.uniform(30, 250) / np.maximum(frequencies, 1.0)) ** 4)
    if random.random() < 0.3:
        gains *= 1 / np.sqrt(1 + (frequencies / random.uniform(3500, 7500)) ** 8)
    return gains
