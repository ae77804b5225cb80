"""Clips of synthetic speech, spoken by espeak-ng.

Each of the 63 speakers is in one split only, with every accent, speed and pitch. Everything that
varies from clip to clip follows from (seed, word, number of the clip). So more clips leave the
first ones as they are.
"""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from vm_startup.conventions import CLIP_SAMPLES, SAMPLE_RATE, UNKNOWN
from vm_startup.speech_commands.augmentation import acoustics
from vm_startup.speech_commands.data.clip import Clip
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.sound.sound_file import to_int16
from vm_startup.speech_commands.speaker_splits import SPLITS, TRAINING, which_set
from vm_startup.speech_commands.synthetic import vocabulary
from vm_startup.speech_commands.synthetic.espeak import MAX_RATE, SPEECH_RATE, Espeak
from vm_startup.speech_commands.synthetic.vocabulary import Utterance, spoken

SPEAKERS = [
    line.split(", ")
    for line in (Path(__file__).parent / "speakers.txt").read_text().splitlines()
    if not line.startswith("#")
]
ACCENTS = {  # share of the clips
    "en-us": 0.45,
    "en": 0.12,
    "en-gb-x-rp": 0.12,
    "en-gb-scotland": 0.08,
    "en-gb-x-gbclan": 0.06,
    "en-gb-x-gbcwmd": 0.06,
    "en-us-nyc": 0.08,
    "en-029": 0.03,
}
PARTS, NEAR_MISSES = 0.2, 0.03  # shares of the unknown clips: single words of phrases, near misses
MAX_SPEECH = 0.95  # seconds of speech in a clip


@dataclass(frozen=True)
class Take:
    """How espeak speaks one clip."""

    utterance: Utterance
    voice: str  # language and variant
    rate: int  # words a minute
    pitch: int  # 0 to 99
    span: int  # 0 to 99, how far the pitch moves
    size: float  # of the formants against the variant's own; 1.1 is a higher voice


class SyntheticSpeech:
    """The clips of every wanted word and of unknown words, and the voices that speak them.

    A stream is a wanted word or `_unknown_`; a unit is what one speaker says in one stream.
    """

    def __init__(
        self,
        wanted_words: Sequence[str],
        clips_per_word: int,
        seed: int = 0,
        validation_percentage: float = 10.0,
        testing_percentage: float = 10.0,
    ) -> None:
        """Raises DataError if espeak cannot speak a word or a word is too long for a clip."""
        check_speakable(wanted_words)
        percentages = validation_percentage, testing_percentage
        self.wanted = list(wanted_words)
        self.arguments = [self.wanted, clips_per_word, seed, *percentages]  # as JSON
        self._seed = seed
        self._speakers = _interleaved(*percentages)
        self._texts = {word: [Utterance(word, spoken(word))] for word in wanted_words}
        self._common = vocabulary.common_words(wanted_words)
        self._parts = vocabulary.parts_of(wanted_words)
        random = self._random("near misses")
        self._near = vocabulary.near_misses(wanted_words, 40 * len(wanted_words), random)
        self._counts = dict.fromkeys(wanted_words, clips_per_word)
        self._counts[UNKNOWN] = clips_per_word * -(-len(wanted_words) // 2)
        self._units = [
            (stream, place)
            for stream, count in self._counts.items()
            for place in range(min(count, len(self._speakers)))
        ]

    def clips(self) -> list[Clip]:
        """Stream after stream, speaker after speaker."""
        spoken = ((unit[0], number) for unit in self._units for number in self._of(*unit))
        return [self._clip(*clip, row) for row, clip in enumerate(spoken)]

    def background(self) -> list[np.ndarray]:
        """Ten seconds each of white, pink and brown noise, hum, and many voices at once."""
        random = self._random("background")
        samples = 10 * SAMPLE_RATE
        sounds = [acoustics.noise(samples, random, colour) for colour in acoustics.COLOURS]
        sounds += [acoustics.noise(samples, random, hum=5), self._babble(samples, random)]
        return [
            (to_int16(acoustics.at_level(s, -12)) / acoustics.FULL_SCALE).astype(np.float32)
            for s in sounds
        ]

    def blocks(self) -> list[range]:
        """The clips of each unit: espeak is loaded again for each."""
        ends = np.cumsum([0] + [len(self._of(*unit)) for unit in self._units]).tolist()
        return [range(*pair) for pair in pairwise(ends)]

    def speak(self, block: int) -> Iterator[np.ndarray]:
        """The clips of the block with this index in blocks(), one by one: int16 [16000]."""
        stream, place = self._units[block]
        with Espeak() as engine:
            for number in self._of(stream, place):
                speech = _speak(engine, self._take(stream, number))
                yield _record(speech, self._random(stream, number, "recording"))

    def _of(self, stream: str, place: int) -> range:
        """The numbers of the clips of one speaker in one stream."""
        return range(place, self._counts[stream], len(self._speakers))

    def _clip(self, stream: str, number: int, row: int) -> Clip:
        (speaker, *_), split = self._speakers[number % len(self._speakers)]
        word = stream if stream in self._texts else self._take(stream, number).utterance.word
        return Clip(
            word=word,
            speaker=speaker,
            source="synthetic",
            split=split,
            name=f"{word}/{speaker}_nohash_{number}",
            row=row,
            group=speaker,
        )

    def _take(self, stream: str, number: int) -> Take:
        random = self._random(stream, number)
        variants, _ = self._speakers[number % len(self._speakers)]
        accent = random.choice(list(ACCENTS), p=list(ACCENTS.values()))
        return Take(
            voice=f"{accent}+{random.choice(variants)}",
            rate=int(random.uniform(120, 220)),
            pitch=int(random.uniform(15, 85)),
            span=int(random.uniform(10, 99)),
            size=float(random.uniform(0.9, 1.12)),
            utterance=self._utterance(stream, random),
        )

    def _utterance(self, stream: str, random: np.random.Generator) -> Utterance:
        texts = self._texts.get(stream) or self._common
        if stream == UNKNOWN:
            kind = random.random()
            if kind < NEAR_MISSES:
                texts = self._near or texts
            elif kind < NEAR_MISSES + PARTS:
                texts = self._parts or texts
        chosen = texts[random.integers(len(texts))]
        ending = random.choice(["", ".", "?", "!", ","])  # each has its own intonation
        return Utterance(chosen.word, chosen.text + ending)

    def _babble(self, samples: int, random: np.random.Generator) -> np.ndarray:
        trained = [variants for variants, split in self._speakers if split == TRAINING]
        sound = np.zeros(samples)
        with Espeak() as engine:
            for _ in range(150):
                voice = f"en-us+{random.choice(trained[random.integers(len(trained))])}"
                text = self._common[random.integers(len(self._common))]
                speech = _speak(engine, Take(text, voice, 170, 50, 50, 1.0))
                start = random.integers(samples - len(speech))
                sound[start : start + len(speech)] += acoustics.at_level(speech, -20)
        return sound

    def _random(self, *what: str | int) -> np.random.Generator:
        key = "/".join(map(str, [self._seed, *what]))
        return np.random.default_rng(int(hashlib.sha256(key.encode()).hexdigest()[:32], 16))


def check_speakable(words: Sequence[str]) -> None:
    """Raise DataError unless an English voice can speak each word within a clip."""
    with Espeak() as engine:
        for word in words:
            foreign = [c for c in word if c.isalpha() and "LATIN" not in unicodedata.name(c, "")]
            if foreign or not engine.phonemes(spoken(word)):
                raise DataError(
                    f"the synthetic voices speak English and cannot speak {word!r}: "
                    "give recordings of it in a folder and no synthetic clips"
                )
            speech = acoustics.trim(engine.speak(spoken(word), "en-us", rate=300), SPEECH_RATE)
            if len(speech) > MAX_SPEECH * SPEECH_RATE:
                raise DataError(
                    f"{word!r} takes {len(speech) / SPEECH_RATE:.1f} seconds when spoken fast, "
                    "but a clip is one second: choose a shorter word"
                )


def _interleaved(
    validation_percentage: float, testing_percentage: float
) -> list[tuple[list[str], str]]:
    """The speakers with their splits, in an order in which a few clips reach every split."""
    by_split = defaultdict(list)
    for variants in SPEAKERS:
        by_split[which_set(variants[0], validation_percentage, testing_percentage)].append(variants)
    placed = [
        ((index + 0.5) / len(members), SPLITS.index(split), variants)
        for split, members in by_split.items()
        for index, variants in enumerate(members)
    ]
    return [(variants, SPLITS[split]) for _, split, variants in sorted(placed)]


def _speak(engine: Espeak, take: Take) -> np.ndarray:
    """The take as float64 at 16 kHz, spoken faster until it fits, and else cut."""
    import soxr  # only here: a check of words needs no resampler

    assumed_rate = SPEECH_RATE * take.size  # resampling from another rate moves all formants
    rate = take.rate
    while True:
        speech = engine.speak(
            take.utterance.text, take.voice, rate=rate, pitch=take.pitch, span=take.span
        )
        speech = acoustics.trim(speech, SPEECH_RATE)
        if len(speech) <= MAX_SPEECH * assumed_rate or rate >= MAX_RATE:
            break
        rate = min(int(rate * 1.25), MAX_RATE)
    resampled = soxr.resample(speech.astype(np.float64), assumed_rate, SAMPLE_RATE, quality="MQ")
    return resampled[: int(MAX_SPEECH * SAMPLE_RATE)]


def _record(speech: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The speech as a microphone in a room might record it: int16 [16000]."""
    cut = int(0.15 * len(speech)) if random.random() < 0.04 else 0  # the recording cuts the word
    start = int(random.integers(-cut, CLIP_SAMPLES - len(speech) + cut + 1))
    clip = np.zeros(CLIP_SAMPLES + 2 * cut)
    clip[start + cut : start + cut + len(speech)] = speech
    clip = clip[cut : cut + CLIP_SAMPLES]
    loudness = random.uniform(-30, -4)
    recorded = acoustics.through_room_and_microphone(clip, random)
    recorded = acoustics.at_level(recorded, loudness)
    hum = random.uniform(0, 1.5) if random.random() < 0.3 else 0.0
    noise = acoustics.noise(CLIP_SAMPLES, random, hum=hum)
    return to_int16(recorded + acoustics.at_level(noise, loudness - random.uniform(20, 60)))
