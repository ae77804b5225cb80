"""Finds the takes of a word in a recording, and cuts one second around each.

Speech is what stands out of the recording's own noise in one of two bands: vowels in the low one,
hissing sounds in the high one. All arithmetic is on integers, so every processor cuts alike.
"""

from collections.abc import Sequence
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
NEAR = 25  # % of the rise; frames that are so near to a take's loudest
VOWEL = 5  # are at least so many,
LEAST_SHARE = 30  # and % of as many as in a usual take; knocks have fewer,
WORD = 10  # but never so many; nor are they so long as a whole
MOST_TIMES = 3  # more than so many times as many as in a usual take are no word,
PEERS = 4  # where there are so many takes
STEADY = 40  # frames of one level, to a dB, are no speech; 1,600 words have at most 24
STEADY_DROP = 10  # dB below a sound's loudest frame, where that counts
TOO_LONG = 150  # frames; beside sounds that fit in a second, no take is so long
PAUSE = 30  # frames; silences within a word are shorter, those between takes are longer

# What is tried on a sound longer than a word, until it is no longer: thresholds and pauses.
TRIES = [(threshold, pause) for pause in (PAUSE, 12) for threshold in range(SPEECH, TAKE, 5)]

LONG = "the word may be cut off: it is longer than a second"
CROWDED = "another take begins or ends within the second"
RUNNING = "no word stands out: the loudest second is used"

# What is no take.
KNOCK = "a sound shorter than a word is not used"
FAINT = "a sound much fainter than the loudest is not used"
SENTENCE = "a sound longer than a word is not used"
UNLIKE = "a sound much longer than the other takes is not used"
STEADY_SOUND = "a steady sound is not used"

# The least sum of a frame's steps between samples for each dB.
_POWERS = np.rint(10 ** (np.arange(140) / 20) * 16).astype(np.int64)

Span = tuple[int, int]  # first and last-plus-one frame
Others = dict[Span, str]  # sounds that are no takes, and why


@dataclass(frozen=True, slots=True)
class Cut:
    """One second of a recording."""

    start: int  # its first sample
    doubt: str = ""  # why it may not hold one whole word


@dataclass(frozen=True, slots=True)
class Unused:
    """A sound of a recording that is not used."""

    start: int  # its first sample
    samples: int
    why: str


def cuts(samples: np.ndarray) -> list[Cut]:
    """The second around each take of the word in int16 [n] at 16 kHz, in order; at least one."""
    return search(samples)[0]


def search(samples: np.ndarray) -> tuple[list[Cut], list[Unused]]:
    """The cuts, and the other sounds that stand out, in order."""
    if len(samples) <= CLIP_SAMPLES:
        return [Cut(0)], []
    low, high = both_levels(samples)
    erased: Others = {}
    while True:
        vowels = rise_of(low)
        rise = np.maximum(vowels, rise_of(high))
        takes, rest = _takes(rise, vowels if vowels.any() else rise, low)
        # What is no take is no measure of the others either: without it, they are searched again.
        loudest = {
            span: why for span, why in rest.items() if why != FAINT and _top(rise, span) == 100
        }
        if not loudest:
            break
        erased |= loudest
        for first, end in loudest:
            low[first:end] = high[first:end] = 0
    unused = [
        Unused(first * FRAME, (end - first) * FRAME, why)
        for (first, end), why in sorted((erased | rest).items())
    ]
    last = len(samples) - CLIP_SAMPLES
    if not takes:
        return [Cut(_clamp(_fullest(low) * FRAME, last), RUNNING)], unused
    return [_around(take, takes, rise, last) for take in takes], unused


def _around(take: Span, takes: Sequence[Span], rise: np.ndarray, last: int) -> Cut:
    """The clip with the take in its middle, or with the most of it."""
    first, end = take
    if end - first > SECOND:
        return Cut(_clamp((first + _fullest(rise[first:end] - SPEECH)) * FRAME, last), LONG)
    start = _clamp((first + end) * FRAME // 2 - CLIP_SAMPLES // 2, last)
    near = [a for a, b in takes if a * FRAME < start + CLIP_SAMPLES and b * FRAME > start]
    return Cut(start, CROWDED if len(near) > 1 else "")


def _takes(rise: np.ndarray, vowels: np.ndarray, low: np.ndarray) -> tuple[list[Span], Others]:
    """Where a word may be: sounds long enough, each cut further if it is longer than a word; and
    the sounds that are none."""
    words, others = _words(rise, vowels, SPEECH, PAUSE)
    others |= {span: STEADY_SOUND for span in words if _is_steady(low[slice(*span)])}
    words = [span for span in words if span not in others]
    found = [part for word in words for part in _parts(word, rise, vowels)]
    if any(end - first <= SECOND for first, end in found):
        others |= {span: SENTENCE for span in found if span[1] - span[0] > TOO_LONG}
    loud = {span: _loud(vowels, span) for span in found if span not in others}
    if len(loud) >= PEERS:
        most = MOST_TIMES * sorted(loud.values())[len(loud) // 2]
        others |= {span: UNLIKE for span, frames in loud.items() if frames > most}
    return [span for span in found if span not in others], others


def _is_steady(level: np.ndarray) -> bool:
    """Whether a sound is for long of one level, as a tone or a machine is."""
    if len(level) < STEADY:
        return False
    parts = np.lib.stride_tricks.sliding_window_view(level, STEADY)
    steady = parts.max(1) - parts.min(1) <= 1
    return bool((steady & (parts.min(1) >= level.max() - STEADY_DROP)).any())


def _parts(word: Span, rise: np.ndarray, vowels: np.ndarray) -> list[Span]:
    """What a sound that is longer than a word holds."""
    first, end = word
    for threshold, pause in TRIES if end - first > SECOND else []:
        words, _ = _words(rise[first:end], vowels[first:end], threshold, pause)
        fit = words and all(b - a <= SECOND for a, b in words)
        if fit and (pause == PAUSE or len(words) == 1):
            return [(first + a, first + b) for a, b in words]
    return [word]


def _words(
    rise: np.ndarray, vowels: np.ndarray, threshold: int, pause: int
) -> tuple[list[Span], Others]:
    """The sounds that are loud for long enough; and the others that stand out."""
    sounds = _sounds(rise, threshold, pause)
    loud = {span: _loud(vowels, span) for span in sounds}
    least = max(VOWEL, min(WORD, _usual(loud) * LEAST_SHARE // 100))
    others = {}
    for span, frames in loud.items():
        if frames < VOWEL and np.count_nonzero(vowels[slice(*span)] >= SPEECH) >= WORD:
            others[span] = FAINT
        elif frames >= VOWEL and (frames < least or span[1] - span[0] < WORD):
            others[span] = KNOCK
    return [span for span in sounds if loud[span] >= least and span not in others], others


def _usual(loud: dict[Span, int]) -> int:
    """The loud frames of a usual take: half of all loud frames are in sounds with fewer, half in
    sounds with more. Sounds longer than a second do not count, if there are others."""
    words = [frames for (first, end), frames in loud.items() if end - first <= SECOND]
    counts = np.sort(words if any(words) else list(loud.values()) or [0])
    total = np.cumsum(counts)
    return int(counts[np.searchsorted(total, total[-1] / 2)])


def _loud(vowels: np.ndarray, span: Span) -> int:
    """How many frames are about as loud as the loudest; 0 if that is too quiet for a take."""
    part, top = vowels[slice(*span)], _top(vowels, span)
    return int(np.count_nonzero(part >= top - NEAR)) if top >= TAKE else 0


def _top(rise: np.ndarray, span: Span) -> int:
    return int(rise[slice(*span)].max())


def _sounds(rise: np.ndarray, threshold: int, pause: int) -> list[Span]:
    """Where the rise is above the threshold; sounds with less than a pause between are one."""
    joined: list[Span] = []
    for first, end in _runs(rise >= threshold):
        if joined and first - joined[-1][1] < pause:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((first, end))
    return joined


def _fullest(height: np.ndarray) -> int:
    """The first frame of the second with the greatest sum."""
    sums = np.cumsum(np.concatenate([[0], np.maximum(height, 0)]))
    return int(np.argmax(sums[SECOND:] - sums[:-SECOND]))


def _clamp(start: int, last: int) -> int:
    return min(max(start, 0), last)


def both_levels(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dB of each frame of int16 or int32 [n], a second or more: below 2 kHz, and above."""
    ends = [*range(CLIP_SAMPLES, len(samples) - CLIP_SAMPLES + 1, CLIP_SAMPLES), len(samples)]
    low, high = [], []
    for first, end in pairwise([0, *ends]):  # blocks that fit in the cache
        block = samples[first:end].astype(np.int32)
        low.append(_steps(quarter(block), FRAME // 4))
        high.append(_steps(block, FRAME))
    return _decibels(low), _decibels(high)


def low_levels(clip: np.ndarray) -> np.ndarray:
    """dB of each frame of int16 [16000] below 2 kHz."""
    return _decibels([_steps(quarter(clip.astype(np.int32)), FRAME // 4)])


def quarter(wide: np.ndarray) -> np.ndarray:
    """Sums of four samples."""
    whole = wide[: len(wide) // 4 * 4]
    half = whole[::2] + whole[1::2]
    return half[::2] + half[1::2]


def _steps(sound: np.ndarray, frame: int) -> np.ndarray:
    """The sum over each frame of the steps between samples, of which DC and hum have few."""
    frames = len(sound) // frame
    steps = np.zeros(frames * frame, np.int32)
    np.subtract(sound[1 : len(steps)], sound[: len(steps) - 1], out=steps[1:])
    return np.abs(steps, out=steps).reshape(frames, frame).sum(1, dtype=np.int32)


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


def _runs(mask: np.ndarray) -> list[Span]:
    """First and last-plus-one index of each run of True."""
    padded = np.zeros(len(mask) + 2, bool)
    padded[1:-1] = mask
    edges = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
