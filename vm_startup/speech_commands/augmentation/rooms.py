"""Random speed, pitch, room, microphone, level and noise for clips, beyond upstream's."""

from dataclasses import dataclass

import numpy as np

from vm_startup.conventions import SAMPLE_RATE
from vm_startup.speech_commands.augmentation import acoustics, speed
from vm_startup.speech_commands.augmentation.augment import Background

RESPONSES = 192  # of rooms with microphones, drawn once; 18 MB of spectra
NOISES = 32  # coloured noises of two seconds, drawn once; a clip gets any second of one
AT_ONCE = 25  # clips in one transform, few enough for a processor's cache

BACKGROUND, COLOURED = 16 / 26, 8 / 26  # shares of silence; the rest is digital zero
SILENCE_DEVIATION = 3000.0  # of coloured noise at 0 dB, in int16's units
SILENCE_GAIN = (-60.0, 10.0)  # dB


@dataclass(frozen=True)
class Strength:
    """How much clips are changed; values are drawn uniformly from each range."""

    speed: float  # the largest change of speed and pitch together, as a logarithm
    rooms: float  # share of the clips that get a room and a microphone
    level: tuple[float, float]  # dB: the gain or, with `noises`, the level of the loudest 10 ms
    noises: float = 0.0  # share of the clips with coloured noise
    below: tuple[float, float] = (0.0, 0.0)  # dB from the loudest 10 ms to that noise


RECORDED = Strength(speed=0.16, rooms=0.5, level=(-12, 4))
MILD = Strength(speed=0.12, rooms=0.9, level=(-30, -4), noises=0.8, below=(5, 60))
HARD = Strength(speed=0.25, rooms=0.95, level=(-32, -2), noises=0.8, below=(0, 40))


class Rooms:
    """Room responses and noises to draw from, the same for the same random stream."""

    def __init__(self, samples: int, rng: np.random.Generator) -> None:
        self._size = samples + SAMPLE_RATE // 2  # space for the longest tail
        responses = [acoustics.response(self._size, rng) for _ in range(RESPONSES)]
        self._responses = np.stack(responses).astype(np.complex64)
        noises = [acoustics.noise(2 * samples, rng) for _ in range(NOISES)]
        self._noises = Background([noise / noise.std() for noise in noises], samples)

    def apply(
        self, audio: np.ndarray, strength: Strength, time_shift: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Clips with another pitch in another room: int16 [n, samples] → float32 [n, samples].

        Each also moves by up to `time_shift` samples of the recording either way.
        """
        speeds = speed.draw(strength.speed, len(audio), rng)
        delays = rng.integers(-time_shift, time_shift + 1, len(audio))
        wave = speed.change(audio, speeds, delays)
        in_room = np.flatnonzero(rng.random(len(audio)) < strength.rooms)
        places = rng.integers(RESPONSES, size=len(in_room))
        for start in range(0, len(in_room), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            wave[in_room[part]] = self._through(wave[in_room[part]], places[part])
        return self._with_noise(wave, strength, rng)

    def silences(self, background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """These silences (float32 [n, samples]); some become coloured noise, some digital zero."""
        chance = rng.random((len(background), 1))
        coloured = (chance >= BACKGROUND) & (chance < BACKGROUND + COLOURED)
        loudness = SILENCE_DEVIATION * _amplitudes(SILENCE_GAIN, len(background), rng)
        noise = self._noises.cut(len(background), rng) * loudness
        silence = np.where(chance < BACKGROUND, background, np.float32(0))
        return np.where(coloured, noise, silence)

    def _through(self, wave: np.ndarray, places: np.ndarray) -> np.ndarray:
        samples = wave.shape[1]
        padded = np.zeros((len(wave), self._size), np.float32)
        padded[:, :samples] = wave
        spectra = np.fft.rfft(padded)
        spectra *= self._responses[places]
        return np.fft.irfft(spectra, self._size)[:, :samples]

    def _with_noise(
        self, wave: np.ndarray, strength: Strength, rng: np.random.Generator
    ) -> np.ndarray:
        level = _amplitudes(strength.level, len(wave), rng)
        if not strength.noises:
            wave *= level
            return wave
        level *= np.float32(acoustics.FULL_SCALE)
        wave *= level / np.maximum(acoustics.loudest(wave)[:, np.newaxis], 1e-9)
        noisy = np.flatnonzero(rng.random(len(wave)) < strength.noises)
        below = _amplitudes(strength.below, len(noisy), rng)
        wave[noisy] += self._noises.cut(len(noisy), rng) * (level[noisy] / below)
        return wave


def _amplitudes(
    decibels: tuple[float, float], how_many: int, rng: np.random.Generator
) -> np.ndarray:
    return (10 ** (rng.uniform(*decibels, (how_many, 1)) / 20)).astype(np.float32)
