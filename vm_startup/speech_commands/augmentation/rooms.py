"""Other speakers, rooms and microphones for clips, on top of upstream's shift and noise."""

from dataclasses import dataclass

import numpy as np

from vm_startup.speech_commands.augmentation import acoustics, speed
from vm_startup.speech_commands.augmentation.augment import Background

RESPONSES = 192  # rooms with microphones in them, drawn once; 18 MB of spectra
NOISES = 32  # coloured noises of two seconds, likewise; clips hear any second of one
AT_ONCE = 25  # clips in one transform, few enough that a processor keeps them near

BACKGROUND, COLOURED = 16 / 26, 8 / 26  # shares of silence; what is left is digital zero
SILENCE_DEVIATION = 3000.0  # of coloured noise at 0 dB, in int16's units
SILENCE_GAIN = (-60.0, 10.0)  # dB


@dataclass(frozen=True)
class Manner:
    """How far clips are changed; ranges are drawn from evenly."""

    speed: float  # how far speed and pitch may move together, as a logarithm
    rooms: float  # share of the clips that pass a room and a microphone
    level: tuple[float, float]  # dB: gain, or where `noises` are, of the loudest 10 ms
    noises: float = 0.0  # share of the clips with coloured noise
    below: tuple[float, float] = (0.0, 0.0)  # dB from the loudest 10 ms to that noise


RECORDED = Manner(speed=0.16, rooms=0.5, level=(-12, 4))
MILD = Manner(speed=0.12, rooms=0.9, level=(-30, -4), noises=0.8, below=(5, 60))
HARD = Manner(speed=0.25, rooms=0.95, level=(-32, -2), noises=0.8, below=(0, 40))


class Rooms:
    """Responses and noises to draw from, the same for the same random stream."""

    def __init__(self, samples: int, rng: np.random.Generator) -> None:
        self._size = samples + acoustics.RATE // 2  # room for the longest tail
        responses = [acoustics.response(self._size, rng) for _ in range(RESPONSES)]
        self._responses = np.stack(responses).astype(np.complex64)
        noises = [acoustics.noise(2 * samples, rng) for _ in range(NOISES)]
        self._noises = Background([noise / noise.std() for noise in noises], samples)

    def heard(
        self, audio: np.ndarray, manner: Manner, time_shift: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Clips as others say them elsewhere: int16 [n, samples] → float32 [n, samples].

        Each also moves by up to `time_shift` samples of the recording either way.
        """
        at_speeds = speed.draw(manner.speed, len(audio), rng)
        delays = rng.integers(-time_shift, time_shift + 1, len(audio))
        wave = speed.read(audio, at_speeds, delays)
        inside = np.flatnonzero(rng.random(len(audio)) < manner.rooms)
        places = rng.integers(RESPONSES, size=len(inside))
        for start in range(0, len(inside), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            wave[inside[part]] = self._through(wave[inside[part]], places[part])
        return self._with_noise(wave, manner, rng)

    def silences(self, background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Some of these silences (float32 [n, samples]) replaced by other noise, some by none."""
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

    def _with_noise(self, wave: np.ndarray, manner: Manner, rng: np.random.Generator) -> np.ndarray:
        level = _amplitudes(manner.level, len(wave), rng)
        if not manner.noises:
            wave *= level
            return wave
        level *= np.float32(acoustics.FULL_SCALE)
        wave *= level / np.maximum(acoustics.loudest(wave)[:, np.newaxis], 1e-9)
        noisy = np.flatnonzero(rng.random(len(wave)) < manner.noises)
        below = _amplitudes(manner.below, len(noisy), rng)
        wave[noisy] += self._noises.cut(len(noisy), rng) * (level[noisy] / below)
        return wave


def _amplitudes(
    decibels: tuple[float, float], how_many: int, rng: np.random.Generator
) -> np.ndarray:
    return (10 ** (rng.uniform(*decibels, (how_many, 1)) / 20)).astype(np.float32)
