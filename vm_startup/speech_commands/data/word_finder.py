"""Finds the takes of a word in a recording, and cuts one second around each.

Speech is what stands out of the recording's own noise in one of two bands: vowels in the low one,
hissing sounds in the high one. All arithmetic is on integers, so every processor cuts alike.
"""

from dataclasses import dataclass

import numpy as np

from vm_startup.conventions import CLIP_SAMPLES

FRAME = 160  # samples, 10 ms
SECOND = CLIP_SAMPLES // FRAME  # frames in a clip
CLICK = 5  # frames; sounds shorter than half of them are clicks
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
    low, high = both_levels(samples.astype(np.int32))
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


def both_levels(wide: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dB of each frame of int32 [n] below 2 kHz, and in all."""
    return low_levels(wide), _decibels(wide)


def low_levels(wide: np.ndarray) -> np.ndarray:
    """dB of each frame of int32 [n] below 2 kHz; clicks, DC and hum hardly count."""
    whole = wide[: len(wide) // 4 * 4]
    half = whole[::2] + whole[1::2]
    return _decibels(half[::2] + half[1::2], FRAME // 4)


def _decibels(sound: np.ndarray, frame: int = FRAME) -> np.ndarray:
    frames = len(sound) // frame
    steps = np.abs(np.diff(sound[: frames * frame], prepend=sound[0]))
    level = np.searchsorted(_POWERS, steps.reshape(frames, -1).sum(1), "right")
    padded = np.pad(level, CLICK // 2, mode="edge")
    return np.sort(np.lib.stride_tricks.sliding_window_view(padded, CLICK), axis=1)[:, CLICK // 2]


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
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
