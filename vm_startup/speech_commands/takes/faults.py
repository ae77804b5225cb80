"""What is wrong with a clip: no sound in it, or a sound that a model learns little from."""

from dataclasses import dataclass

import numpy as np

from vm_startup.speech_commands.takes.word_finder import both_levels, low_levels, rise_of


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault, as tables name it."""

    what: str
    usable: bool  # False: the clip is left out


CONSTANT = Fault("all samples are equal", usable=False)
DITHER = Fault("no sound but faint noise", usable=False)
HUM = Fault("only hum or drift", usable=False)
NOISE = Fault("nothing stands out of the noise", usable=True)
CLIPPED = Fault("clipped", usable=True)
QUIET = Fault("too quiet", usable=True)
BEGIN = Fault("begins within the word", usable=True)
END = Fault("ends within the word", usable=True)

# Levels are word_finder's, in dB. 150 clear recordings, made fainter, have features that correlate
# with their own by 0.77 at an active level of -50 dBFS, where QUIET_LEVEL is, and by less than 0.5
# at -80 dBFS, where nothing is left but DITHER_LEVEL's noise.
SOUND = 10  # frames of 10 ms; a clip's level is that of its tenth loudest, which no click reaches
DITHER_LEVEL = 32  # white noise of 7 codes (rms)
QUIET_LEVEL = 54
HUM_PERIODS = 320, 267  # samples in a period of 50 and of 60 Hz, and of all their harmonics
HUM_REST = 100  # a hum has so many times the power of the rest
HUM_DROP = 15  # dB below the hum, where hardly anything of it counts; a faint rest
HUM_VARIES = 30  # dB; a clip with more difference between its frames is no hum
FLAT = 10  # samples in the uppermost 1/256 of the amplitude of a clipped clip,
FLATTER = 2  # so many times those in the next 3/256: a sine has as many in both
FLAT_LEAST = 2000  # amplitude below which rounding makes flat tops
EDGE = 3  # frames at an end
EDGE_RISE = 75  # % of the loudest sound's rise (in dB) over the noise


def of(clip: np.ndarray) -> tuple[Fault, ...]:
    """The faults of a clip int16 [16000]; if one is not usable, it is the only one."""
    top, bottom = int(clip.max()), int(clip.min())
    if top == bottom:
        return (CONSTANT,)
    levels = low_levels(clip)
    level = int(np.sort(levels)[-SOUND])
    if level <= DITHER_LEVEL:
        return (DITHER,)
    if np.ptp(levels) < HUM_VARIES and any(_repeats(clip, level, p) for p in HUM_PERIODS):
        return (HUM,)
    rise = rise_of(levels)
    if not rise.any():  # in a loud rumble
        rise = rise_of(both_levels(clip)[1])
    found = {
        NOISE: not rise.any(),
        CLIPPED: _flat(clip, top) or _flat(~clip, ~bottom),
        QUIET: level < QUIET_LEVEL,
        BEGIN: rise[:EDGE].min() >= EDGE_RISE,
        END: rise[-EDGE:].min() >= EDGE_RISE,
    }
    return tuple(fault for fault, holds in found.items() if holds)


def _repeats(clip: np.ndarray, level: int, period: int) -> bool:
    """Whether all but a faint or steady noise repeats."""
    wide = clip.astype(np.int32)
    rest = wide[period:] - wide[:-period]
    if HUM_REST * _power(rest) > 2 * _power(wide - int(wide.mean())):
        return False
    low, high = both_levels(rest)
    faint = int(np.sort(low)[-SOUND]) <= level - HUM_DROP
    return faint or not (rise_of(low).any() or rise_of(high).any())


def _power(sound: np.ndarray) -> float:
    return float((sound.astype(np.float64) ** 2).mean())


def _flat(clip: np.ndarray, top: int) -> bool:
    """Whether waves end in a plateau at `top`, be it full scale or below."""
    if top < FLAT_LEAST:
        return False
    flat = int(np.count_nonzero(clip >= top - top // 256))
    if flat < FLAT:
        return False
    near = int(np.count_nonzero(clip >= top - top // 64)) - flat
    return flat >= FLATTER * near
