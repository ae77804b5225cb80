"""Recordings of any form, with a sound in them that could be a word."""

import os
import wave
import zlib

import numpy as np


def spoken(seed, seconds=1.0, rate=16000):
    """int16 [seconds * rate]: a word-like sound of 0.4 s in the middle of a little noise; every
    seed has a melody and a loudness of its own."""
    rng = np.random.default_rng(zlib.crc32(os.fsencode(str(seed))))
    time = np.arange(int(seconds * rate)) / rate
    pitch, rise = rng.uniform(200, 400), rng.uniform(-300, 300)
    sound = sum(np.sin(2 * np.pi * k * (pitch + rise * time) * time + k) / k for k in range(1, 9))
    middle = seconds / 2
    shape = (np.abs(time - middle) < 0.2) * rng.uniform(0.8, 1) ** (20 * np.abs(time - middle))
    breath = rng.normal(0, 1, len(time))  # no two takes of a voice have the same
    sound = 5000 * (sound + breath) * shape + rng.normal(0, 20, len(time))
    return np.clip(sound, -32767, 32767).astype(np.int16)


def write_wav(path, seconds=1.0, channels=1, rate=16000):
    """A WAV of 16 bits; every path has a sound of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = spoken(path, seconds, rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(sound, channels).tobytes())
