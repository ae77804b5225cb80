"""Finds the takes of a word in a recording, and cuts one second around each.

Speech is what stands out of the recording's own noise in one of two bands: vowels in the low one,
hissing sounds in the high one. All arithmetic is on integers, so every processor cuts alike.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vm_startup.conventions import CLIP_SAMPLES

FRAME = 160  # samples, 10 ms
SECOND = CLIP_SAMPLES // FRAME  # frames in a clip
NOISE_SHARE = 15  # %: in so much of a recording at least there is no speech
MOST_RISE = 60  # dB from the noise to the loudest sound; more is digital silence, not noise
LEAST_RISE = 10  # dB; with less, nothing stands out
SPEECH = 35  # % of the rise in dB, above which a frame is speech
TAKE = 60  # % of the rise that every take reaches
VOWEL = 5  # frames that reach it, at least,
LEAST_SHARE = 3  # and a third of as many as in the longest take; knocks have fewer
PAUSE = 30  # frames; silences within a word are shorter, those between takes are longer

LONG = "the word may be cut off: it is longer than a second"
RUNNING = "no word stands out: the loudest second is used"
CROWDED = "another sound is within the second"

# The least sum of a frame's absolute samples for each dB.
_POWERS = np.rint(10 ** (np.arange(140) / 20) * 16).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Cut:
    """One second of a recording."""

    start: int  # its first sample
    doubt: str = ""  # why it may not hold one whole word


def cuts(samples: np.ndarray) -> list[Cut]:
    """The second around each take of the word in int16 [n] at 16 kHz, in order; at least one."""
    if len(samples) <= CLIP_SAMPLES:
        return [Cut(0)]
    low, high = both_levels(samples)
    rise = np.maximum(rise_of(low), rise_of(high))
    last = len(samples) - CLIP_SAMPLES
    takes = _takes(rise)
    if not takes:
        return [Cut(_clamp(_fullest(low, 0, len(low)) * FRAME, last), RUNNING)]
    return [_around(*take, rise, last) for take in takes]


def _takes(rise: np.ndarray) -> list[tuple[int, int]]:
    """First and last-plus-one frame of each sound that may be a word."""
    sounds = _joined(_runs(rise >= SPEECH))
    loud = [int((rise[first:end] >= TAKE).sum()) for first, end in sounds]
    least = max(VOWEL, max(loud, default=0) // LEAST_SHARE)
    return [sound for sound, frames in zip(sounds, loud, strict=True) if frames >= least]


def _around(first: int, end: int, rise: np.ndarray, last: int) -> Cut:
    """The clip with the frames from `first` to `end` in its middle, or with the most of them."""
    inner = first, end
    for threshold in range(SPEECH, TAKE, 5):  # a noise that begins or ends beside the word
        runs = [(first + a, first + b) for a, b in _runs(rise[first:end] >= threshold)]
        inner = max(_joined(runs), key=lambda run: (rise[slice(*run)] >= TAKE).sum())
        if inner[1] - inner[0] <= SECOND:
            break
    else:
        return Cut(_clamp(_fullest(rise, first, end) * FRAME, last), LONG)
    start = _clamp(sum(inner) * FRAME // 2 - CLIP_SAMPLES // 2, last)
    outside = (rise[first:end] >= TAKE).sum() - (rise[slice(*inner)] >= TAKE).sum()
    return Cut(start, LONG if outside >= VOWEL else "")


def _fullest(height: np.ndarray, first: int, end: int) -> int:
    """The first frame of the second with the greatest sum between two frames."""
    sums = np.cumsum(np.concatenate([[0], np.maximum(height[first:end], 0)]))
    if end - first <= SECOND:
        return first
    return first + int(np.argmax(sums[SECOND:] - sums[:-SECOND]))


def _clamp(start: int, last: int) -> int:
    return min(max(start, 0), last)


def both_levels(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dB of each frame of int16 or int32 [n], a second or more: below 2 kHz, and above."""
    ends = [*range(CLIP_SAMPLES, len(samples) - CLIP_SAMPLES + 1, CLIP_SAMPLES), len(samples)]
    blocks = [samples[a:b].astype(np.int32) for a, b in pairwise([0, *ends])]  # fit in the cache
    return (
        _decibels([_steps(_quarter(block), FRAME // 4) for block in blocks]),
        _decibels([_steps(block, FRAME) for block in blocks]),
    )


def low_levels(clip: np.ndarray) -> np.ndarray:
    """dB of each frame of int16 [16000] below 2 kHz."""
    return _decibels([_steps(_quarter(clip.astype(np.int32)), FRAME // 4)])


def _quarter(wide: np.ndarray) -> np.ndarray:
    """Sums of four samples."""
    whole = wide[: len(wide) // 4 * 4]
    half = whole[::2] + whole[1::2]
    return half[::2] + half[1::2]


def _steps(sound: np.ndarray, frame: int) -> np.ndarray:
    """The sum over each frame of the steps between samples, of which DC and hum have few."""
    frames = len(sound) // frame
    steps = np.zeros(frames * frame, np.int32)
    np.subtract(sound[1 : len(steps)], sound[: len(steps) - 1], out=steps[1:])
    return np.abs(steps, out=steps).reshape(frames, frame).sum(1)


def _decibels(sums: list[np.ndarray]) -> np.ndarray:
    """The median level of five frames each, so that clicks do not count."""
    first, last = sums[0][:1], sums[-1][-1:]
    level = np.searchsorted(_POWERS, np.concatenate([first, first, *sums, last, last]), "right")
    a, b, c, d, e = (level[k : len(level) - 4 + k] for k in range(5))
    least, most = np.minimum, np.maximum
    f, g = most(least(a, b), least(c, d)), least(most(a, b), most(c, d))
    return most(least(f, g), least(most(f, g), e))


def rise_of(level: np.ndarray) -> np.ndarray:
    """Each frame's height above the noise, in % of the loudest sound's; all 0 for noise alone."""
    sounding = np.sort(level[level > 0])
    if not len(sounding):
        return np.zeros_like(level)
    top = int(sounding[-1])
    noise = max(int(sounding[len(sounding) * NOISE_SHARE // 100]), top - MOST_RISE)
    if top - noise < LEAST_RISE:
        return np.zeros_like(level)
    return (level - noise) * 100 // (top - noise)


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs with less than a pause between them are one."""
    joined: list[tuple[int, int]] = []
    for first, end in runs:
        if joined and first - joined[-1][1] < PAUSE:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((first, end))
    return joined


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last-plus-one index of each run of True."""
    padded = np.zeros(len(mask) + 2, bool)
    padded[1:-1] = mask
    edges = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
