"""Check the word finder: is the word whole in what it cuts?

    python benchmarks/word_finder.py FOLDER      FOLDER/WORD/*: recordings longer than a second

An aligner that ignores loudness says where the word is: the shapes of the spectra, matched with
synthetic voices that say it (dynamic time warping; a word may lie anywhere in the recording). The
word is whole if one clip holds what most voices say. The aligner's own error is measured on other
synthetic voices in noise at 20 dB. Compared are the loudest second (as Pete Warden's
extract_loudest_section takes it) and the first. Then the finder is timed, and the share of faulty
clips is printed. The exit code is 1 if a word is whole in less than 95 %.
"""

import argparse
import collections
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr

from vm_startup.conventions import CLIP_SAMPLES, SAMPLE_RATE
from vm_startup.speech_commands.augmentation import acoustics
from vm_startup.speech_commands.evaluation.intervals import wilson
from vm_startup.speech_commands.sound import sound_file
from vm_startup.speech_commands.synthetic.espeak import SPEECH_RATE, Espeak
from vm_startup.speech_commands.synthetic.speech import SPEAKERS
from vm_startup.speech_commands.takes import faults, word_finder

VOICES = 14  # that the aligner matches, and as many others to measure its error
AGREE = 7  # voices with the least distance, of which the median counts
HOP = SAMPLE_RATE // 100
BANDS, COEFFICIENTS, FFT, WINDOW = 26, 13, 512, 400
LEAST_WHOLE = 0.95
Interval = tuple[int, int]  # samples


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="recordings in one sub-folder for each word")
    folders = sorted(path for path in parser.parse_args().folder.iterdir() if path.is_dir())
    return int(any([word_is_missed(folder) for folder in folders]))


def word_is_missed(folder: Path) -> bool:
    sounds = [
        (path, sound_file.read(path).samples) for path in sorted(folder.iterdir()) if path.is_file()
    ]
    long = [(path, sound) for path, sound in sounds if len(sound) > CLIP_SAMPLES]
    print(f"{folder.name}: {len(long)} of {len(sounds)} recordings are longer than a second")
    if not long:
        return False
    spoken = templates(folder.name, 0)
    print_error(folder.name, spoken)
    places = [align(sound, spoken) for _, sound in long]
    ways: dict[str, Callable[[np.ndarray], list[int]]] = {
        "first second": lambda sound: [0],
        "loudest second": lambda sound: [loudest_second(sound)],
        "word finder": lambda sound: [cut.start for cut in word_finder.cuts(sound)],
    }
    missed = {}
    for name, way in ways.items():
        missed[name] = [
            (path, way(sound), place)
            for (path, sound), place in zip(long, places, strict=True)
            if not any(holds(start, place) for start in way(sound))
        ]
        count = len(long) - len(missed[name])
        low, high = wilson(count, len(long))
        share = f"{100 * count / len(long):5.1f} % ({100 * low:.1f} to {100 * high:.1f} %)"
        print(f"  {name:16} whole {count:>5} of {len(long)}, {share}")
    for path, starts, place in missed["word finder"]:
        at = ", ".join(f"{start / SAMPLE_RATE:.2f}" for start in starts)
        begin, end = (sample / SAMPLE_RATE for sample in place)
        print(f"    {path.name}: cut at {at} s, the aligner says {begin:.2f} to {end:.2f} s")
    print_finder([sound for _, sound in long])
    return len(missed["word finder"]) > (1 - LEAST_WHOLE) * len(long)


def holds(start: int, place: Interval) -> bool:
    return start <= place[0] and place[1] <= start + CLIP_SAMPLES


def loudest_second(sound: np.ndarray) -> int:
    sums = np.cumsum(np.concatenate([[0], np.abs(sound.astype(np.int64))]))
    return int(np.argmax(sums[CLIP_SAMPLES:] - sums[:-CLIP_SAMPLES]))


def print_finder(sounds: list[np.ndarray]) -> None:
    start = time.perf_counter()
    found = [word_finder.cuts(sound) for sound in sounds]
    took = 1000 * (time.perf_counter() - start) / len(sounds)
    takes = collections.Counter(len(cuts) for cuts in found)
    doubts = collections.Counter(cut.doubt for cuts in found for cut in cuts if cut.doubt)
    print(f"  takes found: {', '.join(f'{n} in {takes[n]}' for n in sorted(takes))}; {took:.2f} ms")
    clips = [
        sound[cut.start : cut.start + CLIP_SAMPLES]
        for sound, cuts in zip(sounds, found, strict=True)
        for cut in cuts
    ]
    start = time.perf_counter()
    doubts.update(fault.what for clip in clips for fault in faults.of(clip))
    took = 1000 * (time.perf_counter() - start) / len(clips)
    print(f"  doubts and faults of the {len(clips)} clips; {took:.2f} ms each")
    for what, count in doubts.most_common():
        print(f"    {count:>5}  {what}")


@lru_cache
def voices(word: str, first: int) -> list[np.ndarray]:
    """The word as VOICES synthetic speakers say it, from the one with this index on."""
    random = np.random.default_rng(first)
    with Espeak() as engine:
        spoken = [
            engine.speak(
                word.replace("_", " "),
                f"{('en-us', 'en', 'en-gb-x-rp')[number % 3]}+{variants[0]}",
                rate=int(random.uniform(110, 190)),
                pitch=int(random.uniform(15, 85)),
            )
            for number, variants in enumerate(SPEAKERS[first : first + VOICES])
        ]
    trimmed = [acoustics.trim(speech, SPEECH_RATE).astype(np.float64) for speech in spoken]
    return [soxr.resample(speech, SPEECH_RATE, SAMPLE_RATE) for speech in trimmed]


def templates(word: str, first: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    margin, found = SAMPLE_RATE // 5, []
    for speech in voices(word, first):
        padded = np.pad(speech, margin) + random.normal(0, 3, len(speech) + 2 * margin)
        start = margin // HOP
        found.append(shapes(padded)[start : start + len(speech) // HOP])
    return found


def print_error(word: str, spoken: list[np.ndarray]) -> None:
    random, errors = np.random.default_rng(1), []
    for speech in voices(word, VOICES):
        start = int(random.integers(SAMPLE_RATE // 5, SAMPLE_RATE))
        sound = np.zeros(3 * SAMPLE_RATE)
        sound[start : start + len(speech)] = acoustics.at_level(speech, -10)
        sound += acoustics.at_level(acoustics.noise(len(sound), random, "pink"), -30)
        begin, end = align(sound, spoken)
        errors.append([begin - start, end - start - len(speech)])
    for name, error in zip(("begin", "end"), 1000 * np.array(errors).T / SAMPLE_RATE, strict=True):
        low, middle, high = np.percentile(error, [10, 50, 90])
        spread = f"80 % in {low:+.0f} to {high:+.0f}"
        print(f"  the aligner's error, {name:5} {middle:+5.0f} ms, {spread}")


def shapes(sound: np.ndarray) -> np.ndarray:
    """The spectrum's shape and its change, without loudness, each 10 ms: float64 [frames, 26]."""
    padded = np.pad(np.diff(sound.astype(np.float64), prepend=0.0), WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, FFT, axis=1)) ** 2 @ mel_bands()
    level = np.log(power + np.percentile(power, 20, axis=0) + 1e3)
    level -= np.percentile(level, 5, axis=0)
    orders = np.outer(np.arange(BANDS) + 0.5, np.arange(1, COEFFICIENTS + 1))
    shape = level @ np.cos(np.pi * orders / BANDS)
    edged = np.pad(shape, ((2, 2), (0, 0)), mode="edge")
    change = 0.3 * (2 * (edged[4:] - edged[:-4]) + edged[3:-1] - edged[1:-3])
    both = np.hstack([shape, change])
    return both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-6)


@lru_cache
def mel_bands() -> np.ndarray:
    frequencies = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)[:, np.newaxis]
    edges = 700 * np.expm1(np.linspace(np.log1p(150 / 700), np.log1p(10), BANDS + 2))
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def align(sound: np.ndarray, spoken: list[np.ndarray]) -> Interval:
    """Where the word begins and ends."""
    frames = shapes(sound)
    matches = sorted(match(template, frames) for template in spoken)[:AGREE]
    begin, end = np.median([[begin, end] for _, begin, end in matches], axis=0)
    return int(begin * HOP), int(end * HOP)


def match(template: np.ndarray, frames: np.ndarray) -> tuple[float, int, int]:
    """The least distance of the template to a part of the frames, where the part begins and ends.

    Each of the two may be at most twice as fast as the other.
    """
    distance = 1 - template @ frames.T
    count = len(frames)
    older = np.full(count, np.inf)
    cost, begin, older_begin = distance[0], np.arange(count), np.arange(count)
    for last, now in zip(distance, distance[1:], strict=False):
        steps = np.stack(
            [
                shifted(cost, 1) + 2 * now,
                shifted(older, 1) + 2 * last + now,
                shifted(cost, 2) + 2 * shifted(now, 1) + now,
            ]
        )
        begins = np.stack([shifted(begin, 1), shifted(older_begin, 1), shifted(begin, 2)])
        best = steps.argmin(0), np.arange(count)
        older, older_begin, cost, begin = cost, begin, steps[best], begins[best].astype(int)
    mean = cost / (len(template) + np.arange(count) - begin + 1)
    end = int(mean.argmin())
    return float(mean[end]), int(begin[end]), end + 1


def shifted(row: np.ndarray, by: int) -> np.ndarray:
    moved = np.full(len(row), np.inf if row.dtype == np.float64 else 0, row.dtype)
    moved[by:] = row[:-by]
    return moved


if __name__ == "__main__":
    sys.exit(main())
